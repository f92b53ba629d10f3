"""Training runs and evaluations of their models on disk, as `train.py` leaves them."""

from pathlib import Path

import yaml

from lamm.files import write_json, write_text
from lamm.results.schema import RunResults

CLASSES = {
    "imagenet": ["tench", "goldfish", "hen"],
    "imagenetv2": ["tench", "goldfish", "hen"],
    "imagenet_sketch": ["tench", "goldfish", "hen"],
    "imagenet_a": ["goldfish", "hen"],
    "shapes": ["star", "circle"],
    "shapes_noisy": ["star", "circle"],
    "shapes_sketch": ["star", "circle"],
    "digits": ["zero", "one", "two", "three"],
}


class TransferredRuns:
    """Writes runs below `output`.

    Attributes:
        output: the folder.
        backbone: of all runs.
    """

    def __init__(self, output: Path, backbone: str = "tiny") -> None:
        self.output, self.backbone = output, backbone

    def train(self, dataset: str, accuracy: float, seed: int = 1, subset: str = "all", **changes: object) -> Path:
        """A training run; its folder."""
        return self._write("", dataset, accuracy, seed, subset, None, (), changes)

    def evaluate(
        self,
        model: Path | None,
        dataset: str,
        accuracy: float,
        seed: int = 1,
        subset: str = "all",
        labels: tuple[int, int] | tuple[()] = (),
        **changes: object,
    ) -> Path:
        """An evaluation of the model in a training run's folder, `labels` learned and CLIP's own; its folder.

        `changes` may have `load_epoch` beside fields of the results.
        """
        return self._write("evaluation", dataset, accuracy, seed, subset, str(model or ""), labels, changes)

    def _write(
        self,
        start: str,
        dataset: str,
        accuracy: float,
        seed: int,
        subset: str,
        model: str | None,
        labels: tuple[int, ...],
        changes: dict[str, object],
    ) -> Path:
        own = "" if subset == "all" else f"+SUBSAMPLE_CLASSES={subset}"
        epoch = changes.pop("load_epoch", -1)
        name = f"{changes.pop('cfg', 'tiny_ep50')}{own}"
        values: dict = {"dataset": dataset, "shots": 16, "trainer": "LAMM", "split": "test", "precision": "fp32"}
        values |= {"protocol": "evaluation" if start else "few-shot", "config_hash": "c0ffee", "status": "finished"}
        values["metrics"] = {"accuracy": accuracy, "error_rate": 100 - accuracy, "macro_f1": accuracy - 1}
        values["metrics"] |= dict(zip(("labels_learned", "labels_from_clip"), labels, strict=False))
        results = RunResults(
            **(values | {"cfg": name + (f"+MODEL_DIR={len(model)}" if model else ""), "seed": seed} | changes)
        )
        parts = (dataset, f"shots_{results.shots}", results.trainer, results.cfg, f"seed{seed}")
        folder = self.output.joinpath(start, *parts)
        results.write(folder / "results.json")
        config: dict = {"DATASET": {"SUBSAMPLE_CLASSES": subset}, "MODEL": {"BACKBONE": {"NAME": self.backbone}}}
        if model is not None:
            config["EVALUATION"] = {"MODEL_DIR": model, "LOAD_EPOCH": epoch}
        write_text(folder / "config.yaml", yaml.safe_dump(config))
        half = (len(CLASSES[dataset]) + 1) // 2
        names = {"all": CLASSES[dataset], "base": CLASSES[dataset][:half], "new": CLASSES[dataset][half:]}[subset]
        write_json(folder / "classes.json", {"class_names": names, "templates": []})
        return folder
