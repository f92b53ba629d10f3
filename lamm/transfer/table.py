"""Tables of transfer results: one for each protocol, source and shots, a row per model, a column per target."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from lamm.escaping import printable
from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.frame import shots_in_words
from lamm.results.published import comparable, place_in_tables, published
from lamm.results.table import csv_text, escaped, tabulated
from lamm.transfer import BASE, BASE_TO_NEW, CROSS_DATASET, DOMAIN_GENERALIZATION
from lamm.transfer.results import NAMES, TransferResult

TITLES = {
    DOMAIN_GENERALIZATION: "Domain generalisation: trained on {source}, {shots}; average of source and targets",
    BASE_TO_NEW: "Base to new: {source}, {shots}; H: harmonic mean of the two means",
    CROSS_DATASET: "Cross-data-set transfer: trained on {source}, {shots}; average of the targets",
}
MARK = "*"


def render_transfer(results: Sequence[TransferResult], layout: str = "plain", ci95: bool = False) -> str:
    """The tables as text, without a line break at the end.

    Below each stand the classes without a learned label, the targets that lack seeds, and the published
    numbers or why ours can't be compared with them. An accuracy with such classes is marked.

    Args:
        results: At least one.
        layout: One of `lamm.results.table.FORMATS`. "csv" (a line per target) and "json" hold everything, unrounded.
        ci95: Show the 95% confidence interval in place of the standard deviation.
    """
    spread = "ci95" if ci95 else "std"
    if layout == "json":
        return json.dumps([_json(result, spread) for result in results], indent=2, ensure_ascii=False)
    if layout == "csv":
        return _csv(results, spread)
    groups: dict[tuple[object, ...], list[TransferResult]] = {}
    for result in results:
        groups.setdefault((result.protocol, result.source, result.shots, result.split), []).append(result)
    return "\n\n".join(_table(group, layout, spread) for group in groups.values())


def why_not_comparable(result: TransferResult) -> str:
    """Why published numbers can't stand beside a result; empty when they can.

    Zero-shot CLIP is the same with every seed and number of shots, so theirs don't matter.
    """
    table, zero_shot = published("domain_generalization"), result.trainer == ZERO_SHOT_TRAINER
    overrides, reason, datasets = result.cfg.split("+")[1:], "", result.averaged or result.source
    for seeds in (None,) if zero_shot else (result.fewest_seeds, len(result.seeds)):
        reason = reason or comparable(
            datasets, result.backbone, seeds, overrides, trainer=result.trainer, cfg=result.cfg
        )
    if not reason and result.protocol != DOMAIN_GENERALIZATION:
        return "not comparable: the LAMM paper reports no numbers for this protocol"
    reason = reason or comparable(datasets, result.backbone, table=table)
    if not reason and not zero_shot and result.shots not in table.shots:
        return f"not comparable: {shots_in_words(result.shots)}, reported with {' or '.join(map(str, table.shots))}"
    return reason


def _table(group: Sequence[TransferResult], layout: str, spread: str) -> str:
    first = group[0]
    targets = sorted({target for result in group for target in result.targets}, key=place_in_tables)
    title = TITLES[first.protocol].format(source=first.source, shots=shots_in_words(first.shots))
    title += "" if first.split == "test" else f"; {first.split} split"
    lines = [_line(result, targets, spread) for result in group] + _reported(group, targets)
    notes = [*_remarks(group), *_comparison(group)]
    if layout == "latex":
        title, *notes = (f"% {printable(text)}" for text in (title, *notes))
    else:
        title, *notes = (escaped(text, layout) for text in (title, *notes))
    body = tabulated(lines, layout, left=("trainer", "cfg"))
    below = ("  \n" if layout == "github" else "\n").join(notes)
    return "\n\n".join(part for part in (title, body, below) if part)


def _line(result: TransferResult, targets: Iterable[str], spread: str) -> dict[str, str]:
    line = {"trainer": result.trainer, "cfg": result.cfg, "seeds": _seeds(result.seeds)}
    line[_own(result)] = result.source_accuracy.text(spread)
    for target in targets:
        mark = f" {MARK}" if result.labels_from_clip.get(target) else ""
        line[target] = result.targets[target].text(spread) + mark if target in result.targets else ""
    summary = result.harmonic_mean if result.average is None else result.average
    whole = set(targets) == set(result.targets)
    line["H" if result.protocol == BASE_TO_NEW else "average"] = f"{summary:.2f}" if whole else ""
    return line


def _own(result: TransferResult) -> str:
    """What the source's own accuracy is called."""
    return BASE if result.protocol == BASE_TO_NEW else result.source


def _seeds(seeds: Iterable[int]) -> str:
    return " ".join(map(str, seeds))


def _reported(group: Sequence[TransferResult], targets: Sequence[str]) -> list[dict[str, str]]:
    """The paper's rows of the trainers that are there and comparable."""
    if group[0].protocol != DOMAIN_GENERALIZATION:
        return []
    table, lines = published("domain_generalization"), []
    same = {group[0].source, *targets, "average"} == set(table.columns)
    for trainer in dict.fromkeys(result.trainer for result in group if not why_not_comparable(result)):
        if (row := table.row_of(trainer)) is None:
            continue
        values = dict(zip(table.columns, row.values, strict=True))
        line = {"trainer": f"{trainer} (reported)", "cfg": "", "seeds": ""}
        for column in (group[0].source, *targets, "average"):
            value = values.get(column) if same or column != "average" else None
            line[column] = "" if value is None else f"{value:.2f}"
        lines.append(line)
    return lines


def _remarks(group: Iterable[TransferResult]) -> list[str]:
    """One line per model without learned labels on some targets; then one per model that lacks seeds on some."""
    labels, seeds = [], []
    for result in group:
        marked = {name: count for name, count in result.labels_from_clip.items() if count}
        if marked:
            shown = ", ".join(f"{name} {count} of {result.classes[name]}" for name, count in marked.items())
            labels.append(f"{MARK} {result.trainer}: no learned label, for classes it never saw: {shown}")
        fewer = {name: some for name, some in result.seeds_of_targets.items() if some != result.seeds}
        if fewer:
            shown = ", ".join(f"{name} {_seeds(some)}" for name, some in fewer.items())
            seeds.append(f"{result.trainer}, {result.cfg}: not with all seeds ({_seeds(result.seeds)}): {shown}")
    return [*dict.fromkeys(labels), *seeds]


def _comparison(group: Sequence[TransferResult]) -> list[str]:
    """What the published numbers are, or why there are none to compare with."""
    table = published("domain_generalization")
    reasons: dict[str, list[str]] = {}
    for result in group:
        reasons.setdefault(why_not_comparable(result), []).append(result.trainer)
    lines = [f"Reported: {table.table} of {table.source}, {table.notes[0]}"] if "" in reasons else []
    for reason, trainers in reasons.items():
        who = "" if len(reasons) == 1 else f"{', '.join(dict.fromkeys(trainers))}: "
        lines += [f"Published numbers: {who}{reason}"] if reason else []
    return lines


def _json(result: TransferResult, spread: str) -> dict[str, Any]:
    reason = why_not_comparable(result)
    row = None if reason else published("domain_generalization").row_of(result.trainer)
    columns = published("domain_generalization").columns
    return {
        **{name: getattr(result, name) for name in NAMES},
        "averaged": list(result.averaged),
        "seeds": list(result.seeds),
        "seeds_of_targets": {name: list(seeds) for name, seeds in result.seeds_of_targets.items()},
        "source_accuracy": result.source_accuracy.as_json(spread),
        "targets": {name: value.as_json(spread) for name, value in result.targets.items()},
        "labels_from_clip": result.labels_from_clip,
        "classes": result.classes,
        "average": result.average,
        "harmonic_mean": result.harmonic_mean,
        "harmonic_means": list(result.harmonic_means),
        "published": row and dict(zip(columns, row.values, strict=True)),
        "not_comparable": reason,
        "files": [str(file) for file in result.files],
    }


def _csv(results: Sequence[TransferResult], spread: str) -> str:
    lines = []
    for result in results:
        for target, value in {_own(result): result.source_accuracy, **result.targets}.items():
            start = {
                **{name: getattr(result, name) for name in NAMES},
                "seeds": _seeds(result.seeds_of_targets.get(target, result.seeds)),
            }
            numbers = {"accuracy_mean": value.mean, f"accuracy_{spread}": getattr(value, spread)}
            labels = {"labels_from_clip": result.labels_from_clip.get(target), "classes": result.classes.get(target)}
            summary = {"average": result.average, "harmonic_mean": result.harmonic_mean}
            lines.append({**start, "target": target, **numbers, **labels, **summary})
    return csv_text(lines)
