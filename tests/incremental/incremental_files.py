"""Steps of class-incremental learning written to disk as `train.py` leaves them."""

from pathlib import Path

from lamm.results.schema import RunResults

Rows = list[list[float]]


def write_steps(
    root: Path,
    own: Rows,
    seen: Rows,
    seed: int = 1,
    trainer: str = "LAMM",
    negatives: bool = False,
    finished: int | None = None,
) -> Path:
    """Write the steps of one seed, `own[t - 1][s - 1]` being set s after step t; the folder above the seeds.

    Args:
        finished: how many steps came to their end; None: all.
    """
    cfg = f"tiny_ep50+STEPS={len(own)}" + "+SEEN_AS_NEGATIVES=True" * negatives
    above = root / "output" / "incremental" / "digits" / "shots_16" / trainer / cfg
    for step, (of_own, of_seen) in enumerate(zip(own, seen, strict=True), start=1):
        folder = above / f"seed{seed}" / f"step{step}"
        metrics = {"accuracy": of_own[-1], "error_rate": 100 - of_own[-1], "macro_f1": of_own[-1]}
        metrics |= {f"set{number}_accuracy": value for number, value in enumerate(of_own, start=1)}
        metrics |= {f"set{number}_accuracy_seen": value for number, value in enumerate(of_seen, start=1)}
        status = "finished" if finished is None or step <= finished else "running"
        RunResults(
            **{"trainer": trainer, "dataset": "digits", "shots": 16, "seed": seed, "cfg": f"{cfg}/step{step}"},
            **{"protocol": "incremental", "split": "test", "precision": "fp32", "config_hash": "c0ffee"},
            **{"status": status, "metrics": metrics},
        ).write(folder / "results.json")
        settings = f"INCREMENTAL: {{STEPS: {len(own)}, STEP: {step}, SEEN_AS_NEGATIVES: {negatives}}}\n"
        (folder / "config.yaml").write_text(settings)
    return above
