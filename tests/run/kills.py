"""Runs that are killed (SIGKILL) at random moments and started again, beside runs that nobody disturbs.

    python -m tests.run.kills --kills 30

One line per kill, then exit code 1 if any run ended in other files, tensors or results than the undisturbed one. Runs
are forked off this process, which has imported everything, so that most moments are within the run itself.
"""

import argparse
import importlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lamm_trainers import TRAINERS

from lamm.checkpoints.by_class_name import final_checkpoint, read_checkpoint
from lamm.commands import call
from lamm.results.schema import RunResults
from lamm.run import IMPORTED_ONCE

LEARNERS = tuple(trainer.__name__ for trainer in TRAINERS if trainer.__name__ != "ZeroshotCLIP")
CHANGES_IMAGES = ("MaPLe", "PromptSRC", "CLIPLoRA")  # with nothing to cache
BEST_VAL, CACHED = "TEST.FINAL_MODEL best_val", "INPUT.CACHE_VIEWS 2"
KEYS = "TEST.SPLIT val TRAIN.CHECKPOINT_FREQ 1 OPTIM.MAX_EPOCH 3 DATALOADER.NUM_WORKERS 0"


def cases() -> list[tuple[str, str]]:
    """Trainer and further keys; ZeroshotCLIP has nothing to save, and PromptSRC's mean belongs to the last epoch."""
    plain = [(trainer, "") for trainer in ("ZeroshotCLIP", *LEARNERS)]
    best = [(trainer, BEST_VAL) for trainer in LEARNERS if not trainer.startswith("PromptSRC")]
    return [*best, *plain, *((trainer, CACHED) for trainer in LEARNERS if not trainer.startswith(CHANGES_IMAGES))]


def start(
    folder: Path, data: Path, trainer: str, keys: str, seconds: float | None = None, files: int | None = None
) -> tuple[int, float]:
    """A run, killed after so many seconds or written files; its exit code and the time it took."""
    words = f"--trainer {trainer} --dataset digits --root {data} --shots 1 --seed 1 --output-dir {folder}/run"
    words += f" {KEYS} INPUT.CACHE_DIR {folder}/cache {keys}"
    began = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=silently, args=(words.split(), folder, files))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode or 0, time.monotonic() - began


def silently(words: list[str], folder: Path, files: int | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "terminal.txt", "a", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    if files is not None:
        kill_after(files)
    call("train", words)


def kill_after(files: int) -> None:
    """End this process when a file is about to get its name, and so many have got theirs."""
    move, left = os.replace, iter(range(files))

    def replace(source: Any, target: Any) -> None:
        if next(left, None) is None:
            os.write(1, f"\nkilled before {Path(target).name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
        move(source, target)

    os.replace = replace  # type: ignore[assignment]


def outcome(folder: Path, trainer: str) -> dict[str, Any]:
    """What has to be equal: names and contents of files, learned tensors, results."""
    run = folder / "run"
    files = {str(file.relative_to(run)): file for file in run.rglob("*") if file.is_file()}
    names = sorted(name for name in files if not name.startswith(("tensorboard/", "log-before-")))
    content = {name: files[name].read_bytes() for name in names if name.endswith((".safetensors", ".csv"))}
    results = RunResults.read(run / "results.json")
    pointers = list(run.glob("*/checkpoint"))
    assert bool(pointers) == (trainer in LEARNERS)
    state = {}
    for pointer in pointers:
        for rule in ("last_step", "best_val"):
            state[rule] = read_checkpoint(str(final_checkpoint(str(pointer.parent), rule)))["state_dict"]
    return {"names": names, "content": content, "state": state, "results": (results.status, results.metrics)}


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two outcomes differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        return [line for key in keys for line in differences(one.get(key), other.get(key), f"{where}/{key}")]
    equal = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if equal else [where]


def progress(folder: Path) -> str:
    """How far a killed run was, by the files it left."""
    saved = sum(1 for file in (folder / "run").glob("*/model.pth.tar-*"))
    if (folder / "run" / "class_features.safetensors").exists():
        return "after the final test"
    if saved:
        return f"after checkpoint {saved}"
    return "training" if (folder / "run" / "config.yaml").exists() else "starting"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for module in ("lamm_trainers", *IMPORTED_ONCE):
        importlib.import_module(module)
    rng, left, failed = random.Random(arguments.seed), arguments.kills, 0
    undisturbed: dict[tuple[str, str], tuple[dict[str, Any], float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        start(place / "first", place / "data", "ZeroshotCLIP", "")  # makes the data
        number = 0
        while left > 0:
            trainer, keys = case = cases()[number % len(cases())]
            number += 1
            if case not in undisturbed:
                folder = place / f"whole{number}"
                code, seconds = start(folder, place / "data", trainer, keys)
                if code:
                    print(f"{trainer} {keys}: exit code {code}: {(folder / 'terminal.txt').read_text()}")
                    return 1
                undisturbed[case] = outcome(folder, trainer), seconds
            expected, seconds = undisturbed[case]
            folder, moments = place / f"killed{number}", []
            for _ in range(min(left, rng.choice((1, 1, 2)))):
                if rng.random() < 0.5:
                    after = rng.uniform(0.02, 0.98) * seconds
                    code, _ = start(folder, place / "data", trainer, keys, after)
                    moment = f"{after:.2f} of {seconds:.2f} s, {progress(folder)}"
                else:
                    code, _ = start(folder, place / "data", trainer, keys, files=rng.randrange(20))
                    moment = (folder / "terminal.txt").read_text().splitlines()[-1].removeprefix("killed ")
                if code != 0:
                    moments.append(moment)
                left -= code != 0
            code, _ = start(folder, place / "data", trainer, keys)
            wrong = [f"exit code {code}"] if code else differences(expected, outcome(folder, trainer))
            wrong += [file.name for file in place.rglob(".*") if file.is_file() and file.suffix in (".tmp", ".lock")]
            failed += bool(wrong)
            print(f"{trainer} | {keys or '-'} | {'; '.join(moments) or 'was faster'} | {wrong or 'equal'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
