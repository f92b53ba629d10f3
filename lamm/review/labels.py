"""Labels that are probably wrong, and how well classes are told apart, from image features in closed form.

Each photo is judged by a classifier that has not seen it: zero-shot scores beside the Gaussian head that all other
photos give (`lamm.gda.LeaveOneOut`, exact), weighed as in LAMM_GDA,

    log p(c | x_i) = log softmax_c mean_views (α cos(x_i, ψ_c) / τ + β g₋ᵢ(x_i)_c)

A label is the more suspicious the lower log p of its class is. Fitting again without the most suspicious photos was
tried and ranks planted errors no better (docs/review.md).

Letters: n photos, k views of each, N classes, E embedding size.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from lamm.gda import ClassStatistics, LeaveOneOut, of_least_loss, scale_of_least_loss

FEW_PHOTOS = 8
"""A class of fewer photos is one to photograph."""
WELL_KNOWN = 90.0
"""Percent of a class's photos that are recognised without having been seen; above it, more photos are not urgent."""


def left_out_scores(features: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
    """log p of each photo by a classifier of the others. Shape: (n, N)

    The only photo of a class can't be left out: all of its values are those of the zero-shot scores.

    Args:
        features: unit features, (n, k, E).
        labels: (n,).
        zero_shot: cos / τ, (n, k, N).
    """
    views, classes = zero_shot.shape[1:]
    statistics = ClassStatistics.of(features, labels, classes)
    paired = statistics.count[labels] > views  # (n,)
    label_scale, _ = scale_of_least_loss(zero_shot.flatten(0, 1), labels.repeat_interleave(views), largest=1.0)
    scores = label_scale * zero_shot
    if paired.any():
        others = LeaveOneOut(statistics, features, labels)
        shrinkage, head_scale = of_least_loss(others, paired, labels)
        scores = torch.where(paired[:, None, None], scores + head_scale * others.scores(shrinkage), scores)
    return scores.mean(dim=1).log_softmax(dim=1)


def suspects(log_probabilities: Tensor, labels: Tensor) -> pd.DataFrame:
    """All photos, the most suspicious first.

    Args:
        log_probabilities: (n, N).
        labels: (n,); −1 for a class that is not among the N, whose photos are left out.

    Returns:
        Columns: `photo` (its number), `label`, `probability` of it, `suggested` (the most probable class),
        `suggested_probability`, and `alike`: how many photos of the same label have the same suggestion. Many are a
        sign of two classes that look alike, few of a wrong label.
    """
    known = torch.nonzero(labels >= 0)[:, 0]
    own = log_probabilities[known, labels[known]]
    order = known[own.sort(stable=True).indices]
    best, suggested = log_probabilities[order].max(dim=1)
    frame = pd.DataFrame(
        {
            "photo": order.tolist(),
            "label": labels[order].tolist(),
            "probability": log_probabilities[order, labels[order]].exp().tolist(),
            "suggested": suggested.tolist(),
            "suggested_probability": best.exp().tolist(),
        }
    )
    return frame.assign(alike=frame.groupby(["label", "suggested"]).photo.transform("size"))


def by_class(names: Sequence[str], labels: Tensor, log_probabilities: Tensor, zero_shot: Tensor) -> pd.DataFrame:
    """How well each class is known, in label order.

    Args:
        names: N.
        labels: (n,); −1 for a class that is not among the N.
        log_probabilities: of photos that were left out, (n, N).
        zero_shot: the class that CLIP takes each photo for by the names alone, (n,).

    Returns:
        Columns: `name`; `photos`; `right`, percent of the photos that are recognised without having been seen;
        `confused`, the class that most of the others are taken for, and `confused_share`, how many, in percent;
        `by_name`, `taken_for` and `taken_for_share`, the same for zero-shot CLIP. Names are "" and numbers not a number
        where there are none.
    """
    predicted = log_probabilities.argmax(dim=1)
    rows = []
    for label, name in enumerate(names):
        own = labels == label
        learned, words = _share(predicted[own], label, names), _share(zero_shot[own], label, names)
        rows.append((name, int(own.sum()), *learned, *words))
    columns = ["name", "photos", "right", "confused", "confused_share", "by_name", "taken_for", "taken_for_share"]
    return pd.DataFrame(rows, columns=columns)


def _share(predicted: Tensor, label: int, names: Sequence[str]) -> tuple[float, str, float]:
    """Percent right, the class that most of the rest is taken for, and its percent."""
    if not len(predicted):
        return float("nan"), "", float("nan")
    counts = torch.bincount(predicted, minlength=len(names)).double() * 100 / len(predicted)
    right = counts[label].item()
    counts[label] = 0
    most = int(counts.argmax())
    return right, names[most] if counts[most] > 0 else "", counts[most].item()


def to_photograph(classes: pd.DataFrame) -> pd.DataFrame:
    """The classes that more photos would help, the neediest first, with a column `why`.

    Those of few photos, and those that are confused with others when they are left out.

    Args:
        classes: of `by_class`.
    """
    few = classes.photos < FEW_PHOTOS
    unsure = classes.right < WELL_KNOWN
    need = (100 - classes.right.fillna(0)) / 100 + few * (FEW_PHOTOS - classes.photos) / FEW_PHOTOS
    chosen = classes.assign(need=need)[few | unsure].sort_values("need", ascending=False, kind="stable")
    return chosen.drop(columns="need").assign(why=[_why(row) for row in chosen.itertuples()])


def _why(row: "pd.core.frame.Pandas") -> str:
    reasons = [f"{row.photos} photo{'' if row.photos == 1 else 's'}"] if row.photos < FEW_PHOTOS else []
    if row.right < WELL_KNOWN:
        reasons.append(f"{row.right:.0f} % recognised")
        if row.confused:
            reasons.append(f"{row.confused_share:.0f} % taken for {row.confused}: photograph both")
    return ", ".join(reasons)
