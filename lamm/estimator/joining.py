"""What classifiers know, taken apart and put together by class; nothing is learned here.

Letters: n photos, k views, N classes, E embedding size.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lamm.errors import ConfigError, DataError
from lamm.estimator.file import Confidence, Knowledge, rounded
from lamm.gda import ClassStatistics

LABELS = "label_embeddings"
WEIGHTS = ("head.shrinkage", "head.alpha", "label_scale")
"""What a head is weighed by; two classifiers that are merged agree on the geometric mean."""
MEASURED = ("TRAINER.", "INPUT.", "MODEL.BACKBONE.NAME", "DATASET.TEMPLATE")


def labels_of(knowledge: Knowledge) -> list[Tensor]:
    """The label vectors of each class; empty for a method without."""
    if LABELS not in knowledge.learned:
        return []
    return list(knowledge.learned[LABELS].split(knowledge.extra["label_counts"]))


def with_labels(knowledge: Knowledge, words: Sequence[str], vectors: Sequence[Tensor]) -> dict[str, Any]:
    """The attributes `words`, `learned` and `extra` of a knowledge, with other classes.

    Args:
        knowledge: what else is known.
        words: one text per class.
        vectors: of each class; empty for a method without labels.
    """
    learned, extra = dict(knowledge.learned), {**knowledge.extra, "class_names": list(words)}
    if vectors:
        learned[LABELS] = torch.cat(list(vectors))
        extra["label_counts"] = [len(one) for one in vectors]
    return {"words": list(words), "learned": learned, "extra": extra}


def selected(knowledge: Knowledge, places: Sequence[int]) -> Knowledge:
    """What is known of some of the classes, in the order given."""

    def of(values: Sequence[Any]) -> list[Any]:
        return [values[place] for place in places]

    statistics = knowledge.statistics
    return dataclasses.replace(
        knowledge,
        names=of(knowledge.names),
        origins=of(knowledge.origins),
        photos=of(knowledge.photos),
        text=knowledge.text[list(places)],
        statistics=None if statistics is None else rounded(selected_statistics(statistics, places)),
        accuracy={},
        **with_labels(knowledge, of(knowledge.words), of(labels_of(knowledge)) if LABELS in knowledge.learned else []),
    )


def require_alike(own: Knowledge, other: Knowledge) -> None:
    """Refuse classifiers whose classes can't be scored together.

    Raises:
        ConfigError: another backbone, method, preprocessing or context; names the difference.
    """
    if own.backbone["name"] != other.backbone["name"] or own.backbone["weights"] != other.backbone["weights"]:
        raise ConfigError(
            f"the classifiers can't be merged: one is of {own.backbone['name']}, the other of "
            f"{other.backbone['name']}, or of other weights of it"
        )
    for what, mine, theirs in (
        ("method", own.trainer, other.trainer),
        ("number of views", own.views, other.views),
        ("kind of name", *("whole numbers" if one.numbers else "text" for one in (own, other))),
        *(
            (f"setting {key}", own.settings.get(key, "the default"), other.settings.get(key, "the default"))
            for key in sorted({*own.settings, *other.settings})
            if key.startswith(MEASURED)
        ),
    ):
        if mine != theirs:
            raise ConfigError(f"the classifiers can't be merged: the {what} of one is {mine}, of the other {theirs}")
    shared = [name for name in own.learned if name != LABELS and name not in WEIGHTS]
    for name in shared:
        if not torch.equal(own.learned[name], other.learned[name]):
            raise ConfigError(
                f'the classifiers can\'t be merged: they have learned another context ("{name}"), in which the labels '
                "of the other have no meaning"
            )


def news(own: Knowledge, other: Knowledge) -> Knowledge | None:
    """What of `other` is to be averaged with `own`: all classes but those whose photos `own` has learned already.

    None: there is nothing new.

    Raises:
        DataError: both have learned some of the photos of a class, which can't be told apart in the sums.
    """
    new = [number for number, name in enumerate(other.names) if not _is_known(own, other, name)]
    return selected(other, new) if 0 < len(new) < len(other.names) else other if new else None


def merged(own: Knowledge, other: Knowledge, same: str) -> Knowledge:
    """The classes of both, those of `own` first; the text features of classes that were averaged are still its own.

    Args:
        own: one classifier.
        other: another one, like it (`require_alike`).
        same: `ask`, `average` or `apart`.

    Raises:
        DataError: both have a class, with `ask`; or it can't be averaged.
    """
    common = [name for name in other.names if name in own.names]
    if common and same == "ask":
        shown = ", ".join(f'"{name}"' for name in common[:5]) + (", …" if len(common) > 5 else "")
        raise DataError(
            f"both classifiers have {shown}: same='average' (--same average) makes one of both, 'apart' keeps both"
        )
    if common and own.numbers and same == "apart":
        raise DataError(f"both classifiers have {common[0]}, and a number has no second name to keep both apart by")
    names, place_of = list(own.names), {}
    for name in other.names:
        if name in common and same == "average":
            place_of[name] = own.names.index(name)
            continue
        shown, number = name, 2
        while shown in names:
            shown, number = f"{name} ({number})", number + 1
        place_of[name] = len(names)
        names.append(shown)
    places = [place_of[name] for name in other.names]
    kept = [number for number, place in enumerate(places) if place >= len(own.names)]
    words = [*own.words, *(other.words[number] for number in kept)]
    vectors = [one.clone() for one in labels_of(own)]
    theirs = labels_of(other)
    photos = [rows.clone() for rows in own.photos]
    origins = list(own.origins)
    for number, place in enumerate(places):
        if place >= len(own.names):
            photos.append(other.photos[number])
            origins.append(dataclasses.replace(other.origins[number], how="merge"))
            vectors += theirs[number : number + 1]
            continue
        if own.words[place] != other.words[number]:
            raise DataError(
                f'"{names[place]}" was learned from "{own.words[place]}" here and from "{other.words[number]}" there: '
                "same='apart' (--same apart) keeps both"
            )
        mine, more = own.origins[place].photos, other.origins[number].photos
        if vectors:
            share = mine / max(mine + more, 1)
            vectors[place] = share * vectors[place] + (1 - share) * theirs[number]
        photos[place] = torch.cat([photos[place], other.photos[number]]).unique(dim=0)
        origins[place] = dataclasses.replace(origins[place], how="merge", photos=mine + more)
    assert own.statistics is not None
    assert other.statistics is not None
    whole = torch.arange(len(own.names)), torch.tensor(places)
    both = own.statistics.placed(whole[0], len(names)) + other.statistics.placed(whole[1], len(names))
    joined = dataclasses.replace(
        own,
        names=names,
        origins=origins,
        photos=photos,
        passed=torch.cat([own.passed, other.passed]),
        text=torch.cat([own.text, other.text[kept]]),
        statistics=rounded(both),
        confidence=_between(own.confidence, other.confidence),
        accuracy={},
        **with_labels(own, words, vectors),
    )
    weights = {
        name: (own.learned[name] * other.learned[name]).sqrt().to(own.learned[name].dtype)
        for name in WEIGHTS
        if name in own.learned
    }
    return dataclasses.replace(joined, learned={**joined.learned, **weights})


def _is_known(own: Knowledge, other: Knowledge, name: str) -> bool:
    """Whether `own` has learned all photos of a class of `other`; see `news`."""
    if name not in own.names:
        return False
    mine, theirs = own.names.index(name), other.names.index(name)
    assert own.statistics is not None
    assert other.statistics is not None
    if torch.equal(own.statistics.sum[mine], other.statistics.sum[theirs]):  # also of a run, which has no hashes
        return True
    seen = {bytes(row.tolist()) for row in own.photos[mine]}
    rows = [bytes(row.tolist()) for row in other.photos[theirs]]
    both = sum(row in seen for row in rows)
    if 0 < both < len(rows):
        raise DataError(
            f'"{name}" was learned from {both} of the same photos in both classifiers, which would count twice: '
            "remove_photos takes them out of one of the two, and same='apart' (--same apart) keeps two classes"
        )
    return both > 0


def _between(own: Confidence, other: Confidence) -> Confidence:
    """Between two; the thresholds weigh as many photos as they come from."""
    photos = own.photos + other.photos
    if not (own.photos and other.photos):
        return Confidence()
    share = own.photos / photos
    return Confidence(
        temperature=float(own.temperature**share * other.temperature ** (1 - share)),
        threshold=share * own.threshold + (1 - share) * other.threshold,
        coverage=share * own.coverage + (1 - share) * other.coverage,
        photos=photos,
        classes=tuple(dict.fromkeys((*own.classes, *other.classes))),
    )


def selected_statistics(statistics: ClassStatistics, places: Sequence[int]) -> ClassStatistics:
    """The statistics of some of the classes, in the order given; the covariance that all share stays the same.

    What the other classes have added to the scatter within classes can't be told apart, so the scatter is scaled to the
    features that are left.
    """
    index = torch.tensor(list(places), dtype=torch.long)
    count, total = statistics.count[index], statistics.sum[index]
    kept = ClassStatistics(count, total, torch.zeros_like(statistics.outer))
    free, before = ((one.count.sum() - (one.count > 0).sum()).clamp(min=0) for one in (kept, statistics))
    scatter = statistics.scatter * (free / before if before > 0 else 0.0)
    return ClassStatistics(count, total, scatter + total.T @ kept.means)


def less(statistics: ClassStatistics, place: int, features: Tensor) -> ClassStatistics:
    """The statistics without photos of a class, whose views are (n, k, E)."""
    taken = ClassStatistics.of(features, torch.full((len(features),), place), len(statistics.count))
    return ClassStatistics(statistics.count - taken.count, statistics.sum - taken.sum, statistics.outer - taken.outer)
