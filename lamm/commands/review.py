"""Look through photos: wrong labels, duplicates, odd photos, names that CLIP doesn't know, what to photograph next.

    lamm review my_photos/                                    # a folder for each class
    lamm review my_photos/ --csv review.csv --html review.html
    lamm review my_photos/ animals.lamm                       # labels are judged by this classifier
    lamm review --dataset caltech101 --root data

Nothing but these two files is written. Exit code 0: all photos were looked at. 1: some could not be read (listed on
stderr; the others were looked at). 2: a mistake in the arguments, or data that can't be used.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lamm.commands.parser import Parser, at_least, chosen_device, data_root, imported_extensions
from lamm.datasets import DATASETS, TEMPLATES
from lamm.errors import ConfigError, DataError, unknown_name
from lamm.escaping import printable
from lamm.files import require_place
from lamm.log import warnings_alone
from lamm.numbers import PROCESSES, Range

if TYPE_CHECKING:  # what looks at photos takes torch
    import torch

    from lamm.review.findings import Photos, Review
    from lamm.review.photos import Look

BACKBONE = "ViT-B/16"
VIEWS = 8
SOME_NOT_READ = 1


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(description="Look through photos: wrong labels, duplicates, odd photos, what to photograph next.")
    parser.add_argument("folder", nargs="?", default="", metavar="FOLDER", help="a folder with a folder for each class")
    parser.add_argument(
        "classifier", nargs="?", default="", metavar="FILE", help="a classifier that judges the labels, as animals.lamm"
    )
    parser.add_argument("--dataset", default="folder", metavar="NAME", help="another data set, with --root")
    parser.add_argument("--root", default="", metavar="DIR", help="its data root (default: $DATA, else data)")
    parser.add_argument("--backbone", default=BACKBONE, metavar="NAME", help=f"CLIP model (default: {BACKBONE})")
    parser.add_argument("--backbone-path", default="", metavar="FILE", help="its weights, if they are elsewhere")
    parser.add_argument("--csv", default="", metavar="FILE", help="write all findings to this file")
    parser.add_argument("--html", default="", metavar="FILE", help="write a page with thumbnails")
    parser.add_argument("--most", type=at_least(1), default=20, metavar="N", help="rows per table (default: 20)")
    parser.add_argument(
        "--workers", type=Range(0, PROCESSES.high), metavar="W", help="decoding processes (default: one per core)"
    )
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Look at the photos, and say what was found."""
    from lamm.review.findings import CSV_MARK, photos_of, review
    from lamm.review.photos import require_libraries

    root = place_of(arguments)
    require_libraries()
    if arguments.csv:
        require_place(arguments.csv, CSV_MARK)
    if arguments.html:
        from lamm.review import page

        page.require_libraries()
        require_place(arguments.html, page.MARK)
    from lamm.memory import usable_cores

    workers = usable_cores() if arguments.workers is None else arguments.workers
    with warnings_alone():
        listed = photos_of(arguments.dataset, root)
        judge = by_classifier if arguments.classifier else by_the_others
        judged = judge(arguments, workers)  # missing weights are told before photos are looked at
        photos, seen, failed = readable(listed, workers)
        found = review(photos, seen, *judged(photos))
    print(summary(found, arguments.most))
    if arguments.csv:
        found.write_csv(arguments.csv)
        print(f"\nwrote {arguments.csv}")
    if arguments.html:
        watch = partial(tqdm, desc="thumbnails", unit="photo", disable=None)
        title = f"Review of {Path(root).name or root}" if arguments.folder else f"Review of {arguments.dataset}"
        size = page.write_page(found, arguments.html, title, 3 * arguments.most, watch)
        print(f"wrote {arguments.html}: {size / 1e6:.1f} MB")
    for line in failed:
        print(f"not looked at: {printable(line)}", file=sys.stderr)
    return SOME_NOT_READ if failed else 0


def place_of(arguments: argparse.Namespace) -> str:
    """Where the photos are.

    Raises:
        ConfigError: arguments that don't go together, or an unknown data set.
    """
    if arguments.dataset not in DATASETS:
        raise ConfigError(unknown_name("data set", arguments.dataset, DATASETS))
    if arguments.classifier and arguments.backbone != BACKBONE:
        raise ConfigError("--backbone is that of the classifier file: leave it out")
    if bool(arguments.folder) == (arguments.dataset != "folder" or bool(arguments.root)):
        raise ConfigError("give the folder of your photos, or --dataset NAME and --root DIR")
    return os.path.expanduser(arguments.folder or arguments.root or data_root())


def readable(photos: "Photos", workers: int) -> "tuple[Photos, list[Look], list[str]]":
    """The photos that can be read, what they look like, and a line for each other one.

    Raises:
        DataError: there are too few.
    """
    from lamm.review.photos import Look, looks

    seen = list(looks(photos.paths, workers))
    failed = [one for one in seen if isinstance(one, str)]
    whole = photos.some([place for place, one in enumerate(seen) if isinstance(one, Look)])
    if len(set(whole.labels.tolist())) < 2:
        raise DataError(f"{photos.folder} has readable photos of fewer than two classes: there is nothing to compare")
    return whole, [one for one in seen if isinstance(one, Look)], failed


Judged = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", Sequence[str], int, str]
"""What `review` needs to know: features, log-probabilities, classes by name, class names, side in pixels, the judge."""


def by_the_others(arguments: argparse.Namespace, workers: int) -> "Callable[[Photos], Judged]":
    """Labels are judged by zero-shot scores and what all other photos look like."""
    from lamm.clip.loading import load_clip
    from lamm.clip.model import resolve_precision
    from lamm.clip.sources import TINY
    from lamm.engine import build_transform, get_cfg_default
    from lamm.engine.embedded.config_merge import merge_config
    from lamm.features.cache import FeatureCache
    from lamm.review.labels import left_out_scores
    from lamm.run.plan import trainer_config
    from lamm.scoring import TemplatePrompts, scaled_scores

    device, cfg = chosen_device(arguments.device), get_cfg_default()
    for extend in imported_extensions([]):
        extend(cfg)
    merge_config(cfg, [trainer_config("GDA", "tiny" if arguments.backbone == TINY else "vit_b16")], [])
    clip = load_clip(arguments.backbone, arguments.backbone_path, device=device)
    clip.precision = resolve_precision("auto" if device.type == "cuda" else "fp32", device)
    cfg.INPUT.SIZE, cfg.INPUT.EXIF = (clip.image_size, clip.image_size), "apply"
    template = TEMPLATES[DATASETS[arguments.dataset]]

    def judged(photos: "Photos") -> Judged:
        cache, scale = FeatureCache(cfg, clip), clip.logit_scale.cpu()
        with redirect_stdout(StringIO()):
            augmented: Any = build_transform(cfg, is_train=True)
            as_tested: Any = build_transform(cfg, is_train=False)
        views = cache.photos(photos.paths, augmented, VIEWS, workers)  # (n, k, E)
        plain = cache.photos(photos.paths, as_tested, 0, workers)[:, 0]  # (n, E)
        text = TemplatePrompts(clip, photos.names, [template]).text_features().cpu()
        zero_shot = scaled_scores(views.flatten(0, 1), text, scale).view(*views.shape[:2], -1)
        scores = left_out_scores(views, photos.labels, zero_shot)
        by_name = scaled_scores(plain, text, scale).argmax(dim=1)
        return plain, scores, by_name, photos.names, clip.image_size, f"{clip.name} and all photos but the judged one"

    return judged


def by_classifier(arguments: argparse.Namespace, workers: int) -> "Callable[[Photos], Judged]":
    """Labels are judged by a classifier file, or a run's folder."""
    import torch

    import lamm
    from lamm.clip.loading import load_clip
    from lamm.scoring import TemplatePrompts

    classifier = lamm.load(arguments.classifier, arguments.backbone_path, arguments.device)
    clip = load_clip(classifier.backbone, arguments.backbone_path)

    def judged(photos: "Photos") -> Judged:
        names = [str(name) for name in classifier.classes_]
        others = sorted(set(photos.names) - set(names))
        if len(others) == len(set(photos.names)):
            raise DataError(f"{arguments.classifier} has none of these classes: {', '.join(others[:5])}")
        if others:
            print(f"note: {arguments.classifier} has no class {', '.join(others[:5])}: not judged", file=sys.stderr)
        plain = torch.from_numpy(classifier.features(photos.paths))
        scores = torch.from_numpy(classifier.predict_proba(photos.paths)).clamp(min=1e-30).log()
        text = TemplatePrompts(clip, names, [TEMPLATES[DATASETS[arguments.dataset]]]).text_features()[0].cpu()
        judge = f"{Path(arguments.classifier).name}, too kindly where it was trained on the photo itself"
        return plain, scores, (plain @ text.T).argmax(dim=1), names, clip.image_size, judge

    return judged


def summary(found: "Review", most: int) -> str:
    """The findings as tables, the first rows of each."""
    from tabulate import tabulate

    photos, names = found.photos, found.class_names
    labels = [
        (photos.shown(one.photo), photos.name(one.photo), f"{one.probability:.1%}", names[one.suggested],
         f"{one.suggested_probability:.0%}", one.alike)
        for one in found.wrong.itertuples()
    ]  # fmt: skip
    groups = [(" = ".join(map(photos.shown, one.photos)), found.where(one)) for one in found.duplicates]
    odd = [(photos.shown(one.photo), photos.name(one.photo), one.kind, one.note) for one in found.odd]
    unknown = [
        (row.name, row.photos, f"{row.by_name:.0f} %", f"{row.taken_for} ({row.taken_for_share:.0f} %)")
        for row in found.unknown_names.itertuples()
    ]
    more = [(row.name, row.photos, row.why) for row in found.to_photograph.itertuples()]
    sections: list[tuple[str, Any, tuple[str, ...]]] = [
        ("Labels in doubt", labels, ("photo", "class", "", "rather", "", "alike")),
        ("Duplicates", groups, ("photos", "")),
        ("Odd photos", odd, ("photo", "class", "what", "")),
        ("Names that CLIP doesn't know", unknown, ("class", "photos", "recognised", "taken for")),
        ("What to photograph next", more, ("class", "photos", "why")),
    ]
    blocks = [f"{len(photos.paths):,} photos in {len(photos.names)} classes; labels are judged by {found.judge}"]
    for title, rows, headers in sections:
        shown = [[printable(str(cell)) for cell in row] for row in rows[:most]]
        rest = f", the first {most}" if len(rows) > most else ""
        table = tabulate(shown, headers, disable_numparse=True) if shown else "none"
        blocks.append(f"{title}: {len(rows):,}{rest}\n{table}" if shown else f"{title}: none")
    return "\n\n".join(blocks)
