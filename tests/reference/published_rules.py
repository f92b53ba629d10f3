"""The benchmark's two rules for making a split, step by step as its code does them, with a generator of their own."""

import random


def cut_50_20_30(classes: list[list[str]], seed: int) -> dict[str, list[str]]:
    """`generate_split`-style: each class in turn is shuffled; first half to train, a fifth to val, the tail to test."""
    rng = random.Random(seed)
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for of_class in classes:
        paths = list(of_class)
        rng.shuffle(paths)
        n_train = round(0.5 * len(paths))
        n_val = round(0.2 * len(paths))
        assert n_train > 0
        assert n_val > 0
        assert len(paths) - n_train - n_val > 0
        for place, path in enumerate(paths):
            part = "train" if place < n_train else "val" if place < n_train + n_val else "test"
            parts[part].append(path)
    return parts


def cut_80_20(trainval: list[tuple[str, int]], seed: int) -> dict[str, list[str]]:
    """Group by label in the order of first appearance, shuffle the group's indices, the first fifth goes to val."""
    rng = random.Random(seed)
    tracker: dict[int, list[int]] = {}
    for place, (_, label) in enumerate(trainval):
        tracker.setdefault(label, []).append(place)
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for places in tracker.values():
        n_val = round(0.2 * len(places))
        assert n_val > 0
        rng.shuffle(places)
        for rank, place in enumerate(places):
            parts["val" if rank < n_val else "train"].append(trainval[place][0])
    return parts


def few_shot(items: list[tuple[str, int]], shots: int, rng: random.Random) -> list[str]:
    """Draw `shots` paths of each label, labels in the order of first appearance; a smaller class is taken whole."""
    groups: dict[int, list[str]] = {}
    for path, label in items:
        groups.setdefault(label, []).append(path)
    picked: list[str] = []
    for group in groups.values():
        picked += rng.sample(group, shots) if len(group) >= shots else group
    return picked
