"""Try the commands with wrong values, damaged files and odd images.

    python tools/fuzz.py --cases 1000 --seed 1

A case is one command in a forked process. It passes if it ends within 20 s, with exit code 0, or 2 and one line (1 if
`check-data`, `parse-results` or `predict` report a part); if nothing that it was given was executed; and if the results
of what it accepted are finite.
The table counts the outcomes by kind; what fails is printed with the command that repeats it.
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

import lamm_trainers
import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from tabulate import tabulate
from yacs.config import CfgNode

import lamm.commands
import lamm.run.execute  # before the forks, like torch: each case then starts at once
from lamm.engine import get_cfg_default

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 20.0
LINES, CHARACTERS = 3, 500
MEMORY = 16 << 30
PWNED = "pwned"
"""A file that only executed input would write."""
HUGE = "9" * 400
VALUES = (
    *("None", "", "x", "nan", "inf", "-inf", "1e999", "-1e999", "1e300", "-1", "0", "-5", "2", "1.5", "1e-320", HUGE),
    *(
        "True",
        "[]",
        "()",
        "[1, 2, 3]",
        "(1,",
        "{'a': 1}",
        "['a']",
        "[" * 10_000,
        "'",
        "é",
        "0x10",
        "1_000",
        "~nobody",
        "/nowhere",
    ),
    *("../..", "/dev/null", "*x", "&x [*x, *x]", f"__import__('os').system('touch {PWNED}')", "!!python/object:os.x"),
)


class Case(NamedTuple):
    """One command.

    Attributes:
        kind: a row of the table.
        words: the command and its arguments.
        what: what is wrong, for the message.
    """

    kind: str
    words: list[str]
    what: str


class Outcome(NamedTuple):
    """How a case ended: a column of the table, and why it is a failure; "" if it is none."""

    column: str
    failure: str = ""


def config_keys() -> list[str]:
    """Every key of the config, in full."""
    cfg = get_cfg_default()
    lamm_trainers.extend_cfg(cfg)

    def leaves(node: CfgNode, start: str) -> Iterator[str]:
        for name, value in node.items():
            yield from leaves(value, f"{start}{name}.") if isinstance(value, CfgNode) else [start + name]

    return sorted(leaves(cfg, ""))


def damage(content: bytes, chance: random.Random) -> bytes:
    """The content of a file with bytes flipped, cut off, repeated, or replaced by something hostile."""
    way = chance.choice(("flip", "flip", "flip", "cut", "repeat", "insert", "empty", "brackets", "number", "text"))
    place = chance.randrange(len(content) + 1)
    if way == "flip":
        changed = bytearray(content)
        for _ in range(chance.choice((1, 4, 64))):
            if changed:
                changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)
    if way == "number":
        return re.sub(rb"\d+", lambda _: chance.choice((HUGE, "-1", "NaN", "1e999")).encode(), content, count=5)
    other = {"cut": b"", "repeat": content, "insert": chance.randbytes(20) + content[place:]}
    whole = {"empty": b"", "brackets": b"[" * 100_000, "text": b"not what you expected\n" * 3}
    return whole[way] if way in whole else content[:place] + other[way]


def odd_image(path: Path, chance: random.Random) -> str:
    """Write an image of an odd mode, size or format; returns what it is."""
    mode = chance.choice(("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "HSV", "LAB"))
    size = chance.choice(((1, 1), (1, 3000), (3000, 1), (33, 47), (32, 32)))
    pixels = np.random.default_rng(chance.randrange(1000)).random((size[1], size[0], 4))
    if mode == "F":
        scale = chance.choice((1.0, 1e30, math.nan, math.inf, 0.0))
        image = Image.fromarray((pixels[..., 0] * scale).astype(np.float32))
    elif mode in ("I;16", "I"):
        image = Image.fromarray((pixels[..., 0] * 65535).astype(np.uint16 if mode == "I;16" else np.int32))
    else:
        image = Image.fromarray((pixels * 255).astype(np.uint8), "RGBA").convert("RGB").convert(mode)
    name = chance.choice(("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "ICO"))
    try:
        image.save(path, name)
    except (OSError, ValueError, KeyError):
        image.convert("RGB").save(path, "PNG")
    return f"{name}, {mode}, {size[0]} x {size[1]}"


class World:
    """A folder with one of every file that the commands read, and the commands that read it.

    Args:
        folder: where it is made.
        call: runs a command in the folder: words → exit code.
    """

    def __init__(self, folder: Path, call: Callable[[list[str]], int | None]) -> None:
        self.folder = folder
        noise = np.random.default_rng(0)
        for name, level in (("red square", (200, 60, 50)), ("blue", (50, 60, 180))):
            (folder / "photos" / name).mkdir(parents=True)
            for number in range(6):
                pixels = noise.normal(level, 40, (40, 40, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
        listed = [(file, file.parent.name) for file in sorted((folder / "photos").rglob("*.png"))]
        rows = [(os.path.relpath(file, folder), name) for file, name in listed]
        (folder / "list.csv").write_text("path,label\n" + "".join(f"{path},{name}\n" for path, name in rows))
        lines = "".join(json.dumps({"path": path, "label": name}) + "\n" for path, name in rows)
        (folder / "list.jsonl").write_text(lines)
        (folder / "list.json").write_text(json.dumps([{"path": path, "label": name} for path, name in rows]))
        shutil.copy(ROOT / "configs/trainers/LAMM/tiny_ep50.yaml", folder / "method.yaml")
        shutil.copy(ROOT / "configs/datasets/folder.yaml", folder / "dataset.yaml")
        (folder / "grid.yaml").write_text("trainers: [LAMM]\ndatasets: [digits]\nshots: [1]\nseeds: [1]\n")
        with zipfile.ZipFile(folder / "EuroSAT.zip", "w") as archive:
            archive.writestr("2750/Forest/Forest_1.jpg", b"\xff\xd8\xff")
        from lamm.clip.loading import load_clip

        model = load_clip("tiny", "", torch.float32, torch.device("cpu"))
        torch.save({key: value.half() for key, value in model.text.state_dict().items()}, folder / "weights.pt")
        torch.jit.save(torch.jit.script(torch.nn.Linear(4, 4)), str(folder / "archive.pt"))
        if (code := call(self.train())) != 0:
            sys.exit(f"the fuzzer's own run ended with {code}")

    def train(self, trainer: str = "LAMM", output: str = "run", config: str = "", data: str = "") -> list[str]:
        """The words of a short run."""
        name = getattr(lamm_trainers, trainer).tiny_config
        config = config or str(ROOT / "configs" / "trainers" / trainer / f"{name}.yaml")
        words = ["train", "--trainer", trainer, *(data or "--dataset folder --root photos").split(), "--shots", "2"]
        words += ["--seed", "1", "--config-file", config, "--output-dir", output]
        return [*words, "DATALOADER.NUM_WORKERS", "0", "OPTIM.MAX_EPOCH", "1", "TRAIN.CHECKPOINT_FREQ", "1"]

    def readers(self) -> dict[str, list[list[str]]]:
        """File → the commands that read it."""
        test = [*self.train(output="tested")[:-6], "--eval-only", "--model-dir", "run", *self.train()[-6:]]
        resume = [*self.train()[:-4], "OPTIM.MAX_EPOCH", "2", "TRAIN.CHECKPOINT_FREQ", "1"]
        photo = "photos/blue/0.png"
        predict, page = ["predict", "run", photo, "--workers", "0"], ["report", "run", "-o", "page.html"]
        backbone = ["MODEL.BACKBONE.NAME", "ViT-B/32", "MODEL.BACKBONE.PATH"]
        zero = self.train("ZeroshotCLIP", "other")
        checked = ["check-data", "csv", "--csv"]
        csv = {
            name: [self.train(output="other", data=f"--dataset csv --csv {name}"), [*checked, name]]
            for name in ("list.csv", "list.jsonl", "list.json")
        }
        results = [["parse-results", "run"], page]
        split = next(path.name for path in (self.folder / "photos").glob("*.json"))
        return {
            **csv,
            "run/prompt_learner/model.pth.tar-1": [predict, test, resume],
            "run/prompt_learner/checkpoint": [predict, test, resume],
            "run/labels.safetensors": [page, ["export", "run", "-o", "again", "--no-onnx"]],
            "run/class_features.safetensors": [page, predict],
            "run/results.json": [*results, predict, self.train()],
            "run/predictions.csv": [page],
            "run/classes.json": [predict, page],
            "run/config.yaml": [predict, page, self.train()],
            "run/log.txt": [["parse-results", "run", "--test-log"]],
            f"photos/{split}": [self.train(output="other"), ["check-data", "folder", "--root", "photos"]],
            "method.yaml": [self.train(output="other", config="method.yaml")],
            "dataset.yaml": [self.train(output="other", data="--dataset-config-file dataset.yaml --root photos")],
            "grid.yaml": [["sweep", "grid.yaml", "--dry-run"]],
            "EuroSAT.zip": [["prepare-data", "eurosat", "--root", "data", "--from", "EuroSAT.zip"]],
            "weights.pt": [[*zero, *backbone, "weights.pt"]],
            "archive.pt": [[*zero, *backbone, "archive.pt"]],
            photo: [predict, self.train(output="other"), ["check-data", "folder", "--root", "photos"]],
        }

    def case(self, number: int, seed: int, keys: list[str], folder: Path) -> Case:
        """Case `number`, with its own copy of the world in `folder`; a number gives the same case again."""
        chance = random.Random(f"{seed}-{number}")
        shutil.copytree(self.folder, folder)
        kind = chance.choice(("config key", "config key", "flag", "file", "file", "image"))
        if kind == "config key":
            trainer = chance.choice([trainer.__name__ for trainer in lamm_trainers.TRAINERS[1:]])
            key, value = chance.choice(keys), chance.choice(VALUES)
            return Case(kind, [*self.train(trainer, "other"), key, value], f"{key} {value[:60]!r}")
        if kind == "flag":
            words = chance.choice([command for commands in self.readers().values() for command in commands])
            places = [place for place, word in enumerate(words) if word.startswith("--") and place + 1 < len(words)]
            value = chance.choice(VALUES)
            if places and chance.random() < 0.7:
                place = chance.choice(places) + 1
                return Case(kind, [*words[:place], value, *words[place + 1 :]], f"{words[place - 1]} {value[:60]!r}")
            return Case(kind, [*words[:1], value, *words[1:]], f"{words[0]} {value[:60]!r}")
        if kind == "file":
            file, commands = chance.choice(list(self.readers().items()))
            (folder / file).write_bytes(damage((folder / file).read_bytes(), chance))
            return Case(kind, chance.choice(commands), f"damaged {file}")
        photo = "photos/blue/0.png"
        image = odd_image(folder / photo, chance)
        return Case(kind, chance.choice(self.readers()[photo]), image)


def start(words: list[str], folder: Path) -> tuple[Any, Path]:
    """Run a command in a forked process, in `folder`. Returns the process and the file of its standard error."""
    said = folder / "stderr.txt"
    said.unlink(missing_ok=True)

    def child() -> None:
        os.setsid()
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        for number, name in ((0, os.devnull), (1, folder / "stdout.txt"), (2, said)):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        lamm.commands.main(words)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    return process, said


def in_a_fork(folder: Path) -> Callable[[list[str]], int | None]:
    """Words → the exit code of a command in `folder`."""

    def call(words: list[str]) -> int | None:
        process, said = start(words, folder)
        process.join(5 * SECONDS)
        if process.exitcode:
            print(said.read_text(errors="replace"))
        return ended(process)

    return call


def ended(process: Any) -> int | None:
    """The exit code; None, and the whole group is killed, if it still runs."""
    code: int | None = process.exitcode
    if code is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return code


def judged(case: Case, code: int | None, said: str, folder: Path) -> Outcome:
    """What a case's end means."""
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    if code is None:
        return Outcome("hang", f"no end after {SECONDS:.0f} s")
    if "Traceback" in said:
        return Outcome("traceback", said.strip().splitlines()[-1][:200])
    if list(folder.rglob(PWNED)):
        return Outcome("executed", "its input was executed")
    if code == 2:
        text = "\n".join(errors)
        if not errors and "usage:" not in said:
            return Outcome("unclear", f"exit code 2 without an error line: {said[-200:]!r}")
        if len(errors) > LINES or len(text) > CHARACTERS:
            return Outcome("unclear", f"{len(errors)} lines, {len(text)} characters: {text[:200]!r}")
        return Outcome("refused")
    if code == 1 and case.words[0] in ("check-data", "parse-results", "predict"):  # some of it is not all right
        return Outcome("refused")
    if code != 0:
        return Outcome("unclear", f"exit code {code}: {said[-200:]!r}")
    for file in folder.rglob("results.json"):
        if not finite(file):
            return Outcome("not finite", f"{file.relative_to(folder)} is accepted, but not finite")
    return Outcome("accepted")


def finite(results: Path) -> bool:
    """Whether a finished run's metrics and labels are finite; other files count as if they were."""
    try:
        content = json.loads(results.read_text())
        if content["status"] != "finished":
            return True
        numbers = [value for value in content["metrics"].values() if isinstance(value, float)]
        labels = results.with_name("labels.safetensors")
        tensors = load_file(labels).values() if labels.exists() else []
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, SafetensorError):
        return True  # the case has damaged it
    return all(map(math.isfinite, numbers)) and all(bool(tensor.isfinite().all()) for tensor in tensors)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--cases", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    arguments.add_argument("--first", type=int, default=0, metavar="N", help="number of the first, to repeat one")
    arguments.add_argument("--seed", type=int, default=1, help="of the cases (default: 1)")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="cases at once")
    return arguments


def main() -> int:
    """Run the cases, print the table; 1 if one failed."""
    arguments = parser().parse_args()
    torch.set_num_threads(1)  # a forked process has none of its parent's threads
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        inner = Path(temporary) / "some" / "where"  # so that `../..` is no folder of others
        base = inner / "world"
        base.mkdir(parents=True)
        world, keys = World(base, in_a_fork(base)), config_keys()
        running: dict[Any, tuple[Any, Path, Case, int, float, Path]] = {}
        numbers = iter(range(arguments.first, arguments.first + arguments.cases))
        left = True
        while left or running:
            while left and len(running) < arguments.jobs:
                number = next(numbers, None)
                if number is None:
                    left = False
                    break
                folder = inner / str(number)
                case = world.case(number, arguments.seed, keys, folder)
                process, said = start(case.words, folder)
                running[process.sentinel] = (process, said, case, number, time.monotonic(), folder)
            connection.wait(list(running), 1.0)
            for sentinel, (process, said, case, number, since, folder) in list(running.items()):
                if process.exitcode is None and time.monotonic() - since < SECONDS:
                    continue
                del running[sentinel]
                outcome = judged(case, ended(process), said.read_text(errors="replace"), folder)
                counts[case.kind, outcome.column] += 1
                if outcome.failure:
                    print(f"{number}: {outcome.column}: {case.what}: {outcome.failure}", flush=True)
                    words = " ".join(word if len(word) < 200 else f"{word[:20]}…" for word in case.words)
                    print(f"    lamm {words}", flush=True)
                shutil.rmtree(folder)
    columns = ("refused", "accepted", "traceback", "hang", "not finite", "executed", "unclear")
    kinds = sorted({kind for kind, _ in counts})
    print(tabulate([[kind, *(counts[kind, column] for column in columns)] for kind in kinds], ["", *columns]))
    return int(any(counts[kind, column] for kind in kinds for column in columns[2:]))


if __name__ == "__main__":
    sys.exit(main())
