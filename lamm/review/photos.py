"""Photos that are there twice, or that little can be learned from: blurred, dark, bright, small, of an odd shape, odd.

Near-duplicates have a similar perceptual hash (ImageHash's `phash`) *and* similar image features: either alone finds
too much on plain backgrounds or within a class. Limits of quality are those of a photo as it is, but blur and how odd a
photo is are told beside the other photos of the collection: by how many robust standard deviations (1.4826 times the
median distance from the median) it is away from their median. Such a deviation has a least value: among few photos, or
photos that are nearly the same, small differences say nothing.

Letters: n photos, E embedding size.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lamm.checking.leaks import same_images
from lamm.errors import ConfigError
from lamm.images import ImageError, as_rgb, image_errors, opened

SAME_HASH = 8
"""Bits, of 64, by which the hashes of near-duplicates may differ."""
SAME_FEATURES = 0.95
"""The least cosine of the features of near-duplicates."""
DARK, BRIGHT = 0.3, 0.95
"""A photo is dark if 99 % of its pixels are darker than the first, bright if 95 % are brighter than the second."""
LONG = 3.0
"""Longer side over the shorter one, from which on the centre crop shows less than a third."""
AWAY = 4.0
"""Robust standard deviations from the median that make a photo blurred or odd."""
LEAST_SHARPNESS, LEAST_SIMILARITY = 0.25, 0.01
"""The least robust standard deviations: of the logarithm of sharpness, and of the cosine to the photos most alike."""
NEIGHBOURS = 3
SIDE = 256
ROWS_AT_ONCE = 1024


class Look(NamedTuple):
    """What one photo looks like.

    Attributes:
        width, height: in pixels.
        sharpness: logarithm of the variance of its Laplacian over that of its grey values, at `SIDE` pixels.
        darkest: brightness that 99 % of its pixels stay below, 0 … 1.
        brightest: brightness that 95 % of its pixels stay above.
        hash: bits of its perceptual hash, (64,).
    """

    width: int
    height: int
    sharpness: float
    darkest: float
    brightest: float
    hash: np.ndarray


class Odd(NamedTuple):
    """A photo that something is the matter with: its number, what, and a measure of it."""

    photo: int
    kind: str
    note: str


class Duplicates(NamedTuple):
    """Photos that show the same: their numbers, and whether their bytes are the same."""

    photos: list[int]
    identical: bool


def require_libraries() -> None:
    """Check that what finds duplicates is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import imagehash  # noqa: F401
    except ImportError as error:
        raise ConfigError('review needs ImageHash; install it with: pip install -e ".[review]"') from error


def look(path: str) -> Look:
    """Look at a photo.

    Raises:
        ImageError: it can't be read.
    """
    import imagehash

    with image_errors(path), opened(path) as image:
        width, height = image.size
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        grey = as_rgb(image, upright=True, say=lambda _: None).convert("L")
    hashed = imagehash.phash(grey).hash.ravel()
    grey.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float64) / 255
    inside = values[1:-1, 1:-1]
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * inside
    ratio = (laplacian.var() + 1e-9) / (values.var() + 1e-9) if inside.size else 1.0
    darkest, brightest = np.percentile(values, (99, 5))
    return Look(width, height, float(np.log(ratio)), float(darkest), float(brightest), hashed)


def looks(paths: Sequence[str], workers: int) -> Iterator[Look | str]:
    """Each photo's look, or the reason why it can't be read, in order; a bar shows how far it is."""

    def tried(path: str) -> Look | str:
        try:
            return look(path)
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from tqdm(pool.map(tried, paths), desc="looking", unit="photo", total=len(paths), disable=None)


def odd_photos(seen: Sequence[Look], features: Tensor, smallest: int) -> list[Odd]:
    """Photos with something the matter, kind by kind, the worst of each first.

    Args:
        seen: n looks.
        features: unit features, (n, E).
        smallest: side below which the model sees an enlarged photo, in pixels.
    """
    blur = -away(np.array([one.sharpness for one in seen]), LEAST_SHARPNESS)
    strange = away(-similarity_to_nearest(features), LEAST_SIMILARITY)
    measures: dict[str, tuple[np.ndarray, float, str]] = {
        "blurred": (blur, AWAY, "{:.1f} deviations below the usual sharpness"),
        "dark": (np.array([1 - one.darkest for one in seen]), 1 - DARK, "99 % of it is darker than {:.0%} of white"),
        "bright": (np.array([one.brightest for one in seen]), BRIGHT, "95 % of it is brighter than {:.0%} of white"),
        "small": (np.array([smallest / min(one.width, one.height) for one in seen]), 1.0, "enlarged {:.1f} times"),
        "long": (np.array([max(one[:2]) / min(one[:2]) for one in seen]), LONG, "{:.1f} times as long as wide"),
        "odd": (strange, AWAY, "{:.1f} deviations further than usual from the photos most like it"),
    }
    found = []
    for kind, (values, limit, text) in measures.items():
        for place in np.argsort(-values, kind="stable"):
            if values[place] <= limit:
                break
            value = 1 - values[place] if kind == "dark" else values[place]
            found.append(Odd(int(place), kind, text.format(value)))
    return found


def away(values: np.ndarray, least: float) -> np.ndarray:
    """Robust standard deviations, each at least `least`, from the median. Shape: (n,)"""
    distance = values - np.median(values)
    return distance / max(1.4826 * np.median(np.abs(distance)), least)


def similarity_to_nearest(features: Tensor) -> np.ndarray:
    """Mean cosine of each photo to the `NEIGHBOURS` others most like it. Shape: (n,)"""
    count = min(NEIGHBOURS, len(features) - 1)
    means = []
    for start in range(0, len(features), ROWS_AT_ONCE):
        cosines = features[start : start + ROWS_AT_ONCE] @ features.T
        rows = torch.arange(len(cosines))
        cosines[rows, rows + start] = -torch.inf
        means.append(cosines.topk(count, dim=1).values.mean(dim=1))
    return torch.cat(means).double().numpy()


def duplicates(paths: Sequence[str], seen: Sequence[Look], features: Tensor) -> list[Duplicates]:
    """Groups of photos that show the same, those with the same bytes first.

    Args:
        paths: n files.
        seen: their looks.
        features: unit features, (n, E).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    signs = torch.from_numpy(np.stack([one.hash for one in seen])).float() * 2 - 1  # (n, 64)
    pairs = []
    for start in range(0, len(features), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        alike = (signs[part] @ signs.T >= 64 - 2 * SAME_HASH) & (features[part] @ features.T >= SAME_FEATURES)
        pairs.append(torch.nonzero(alike) + torch.tensor([start, 0]))
    number = {os.fspath(path): place for place, path in enumerate(paths)}
    identical = [[number[file] for file in group] for group in same_images(paths)]
    pairs += [torch.tensor([[group[0], other] for other in group[1:]]) for group in identical]
    rows, columns = torch.cat(pairs).T.numpy()
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(paths), len(paths)))
    _, of_photo = connected_components(graph, directed=False)
    sets = {frozenset(group) for group in identical}
    groups: dict[int, list[int]] = {}
    for place, group in enumerate(of_photo.tolist()):
        groups.setdefault(group, []).append(place)
    found = [Duplicates(group, frozenset(group) in sets) for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda one: not one.identical)
