"""The page of classifier files (`animals.lamm`): how good each is, how sure it may be, and what it knows.

Letters: N classes, E embedding size.
"""

import math
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from lamm.estimator.file import Knowledge, load_knowledge
from lamm.files import require_place, write_text
from lamm.report.page import MARK, TEMPLATES, page_environment, require_libraries
from lamm.report.tables import Cell, Table, name_cell, nothing_cell


def write_classifier_report(files: Sequence[str], page: str | os.PathLike[str], title: str = "") -> int:
    """Write a page about classifier files, a section each.

    Args:
        files: paths of classifier files.
        page: the page; a report that exists is replaced.
        title: its heading; empty: the files' names.

    Returns:
        The size of the page in bytes.

    Raises:
        CheckpointError: a file is missing, damaged or of another kind.
        ResultsError: a library of the extra `report` is missing.
        ConfigError: the page can't be written there.
    """
    require_libraries()
    require_place(page, MARK)
    sections = [_section(file, load_knowledge(file)) for file in files]
    text = (
        page_environment(TEMPLATES)
        .get_template("classifier_file.html.j2")
        .render(
            mark=MARK,
            title=title or ", ".join(Path(file).name for file in files),
            made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            sections=sections,
        )
    )
    write_text(page, text)
    return len(text.encode())


def _section(file: str, knowledge: Knowledge) -> dict[str, Any]:
    tables = [accuracy_table(knowledge), class_table(knowledge)]
    return {"file": Path(file).name, "summary": summary(file, knowledge), "tables": [one for one in tables if one]}


def summary(file: str, knowledge: Knowledge) -> dict[str, str]:
    """Title → text: what it is made of, its confidence, and the licence of CLIP's weights."""
    backbone, sure = knowledge.backbone, knowledge.confidence
    lines = {
        "method": knowledge.trainer,
        "classes": str(len(knowledge.names)),
        "photos": str(sum(_photos(knowledge))),
        "backbone": f"{backbone['name']}, {backbone['image_size']} pixels, {backbone['precision']}",
        "weights": f"SHA-256 {backbone['weights'][:12]}…",
        "licence of the weights": str(backbone.get("licence_of_weights") or "unknown"),
        "size of the file": f"{os.path.getsize(os.path.expanduser(file)) / 1e6:.2f} MB",
    }
    if sure.photos:
        lines["confidence"] = f"from {sure.photos} left-out photos; temperature {sure.temperature:.3g}"
        if not math.isnan(sure.ece):
            before = f"; {sure.ece_before:.1f} % without the temperature" if sure.temperature != 1 else ""
            lines["calibration error"] = f"{sure.ece:.1f} % (ECE{before})"
        if not math.isnan(sure.auroc):
            lines["right from wrong"] = f"{sure.auroc:.1f} % (AUROC of right answers against wrong ones)"
        if math.isfinite(sure.threshold):
            lines["none of these"] = f"told by a threshold that {sure.coverage:.0%} of the classes' photos stay below"
        since = [name for name in knowledge.names if name not in sure.classes] if sure.classes else []
        if since:
            lines["not measured with"] = ", ".join(since)
    else:
        lines["confidence"] = "not measured: no photo was left out"
    return lines


def accuracy_table(knowledge: Knowledge) -> Table | None:
    """Accuracy of this and other methods; None where nothing was measured."""
    if not knowledge.accuracy:
        return None
    best = max(knowledge.accuracy.values())
    rows = [
        [
            name_cell(method + (" (this classifier)" if method == knowledge.trainer else "")),
            Cell(f"{accuracy:.1f}", accuracy, kind="best" if accuracy == best else "number"),
        ]
        for method, accuracy in sorted(knowledge.accuracy.items(), key=lambda one: -one[1])
    ]
    notes = ("When the classifier was fitted; classes that came, went or were merged since are not in it.",)
    return Table(f"Accuracy in percent, by {knowledge.accuracy_by}", ["method", "accuracy"], rows, notes)


def class_table(knowledge: Knowledge) -> Table:
    """Each class: what CLIP reads, its photos, where it came from, and the class whose label is nearest."""
    near = knowledge.text @ knowledge.text.T  # (N, N)
    near.fill_diagonal_(-torch.inf)
    rows = []
    described = zip(knowledge.names, knowledge.words, knowledge.origins, _photos(knowledge), strict=True)
    for place, (name, words, origin, photos) in enumerate(described):
        cosine, other = near[place].max(dim=0)
        nearest = (
            [Cell(knowledge.names[int(other)], kind="text"), Cell(f"{float(cosine):.3f}", float(cosine))]
            if len(knowledge.names) > 1
            else [nothing_cell(), nothing_cell()]
        )
        rows.append(
            [
                name_cell(name, "" if words == name else f'CLIP reads "{words}"'),
                Cell(str(photos), photos),
                Cell(origin.how, kind="text"),
                Cell(origin.date, kind="text"),
                *nearest,
            ]
        )
    renamed = [
        f'"{name}" is read by CLIP as "{words}".'
        for name, words in zip(knowledge.names, knowledge.words, strict=True)
        if name != words
    ]
    notes = ["Cosine of the two classes' text features: classes with near labels are the ones to tell apart.", *renamed]
    headings = ["class", "photos", "came by", "on", "nearest class", "cosine"]
    return Table("Classes", headings, rows, notes)


def _photos(knowledge: Knowledge) -> list[int]:
    """Photos of each class; those that are known one by one count, else those that its origin tells of."""
    return [len(known) or origin.photos for known, origin in zip(knowledge.photos, knowledge.origins, strict=True)]
