"""UCF101: 101 human actions, the middle frame of each video."""

import random
import re
from collections.abc import Mapping
from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import Split, SplitItem
from lamm.datasets.splitters import split_80_20
from lamm.datasets.templates import TEMPLATES
from lamm.datasets.text_lists import read_entries, read_items
from lamm.errors import DataError


class UCF101(BenchmarkDataset):
    """7,639 / 1,898 / 3,783 frames: the first of the three official partitions."""

    dataset_dir = "ucf101"
    image_prefix = "UCF-101-midframes"
    split_file = "split_zhou_UCF101.json"
    template = TEMPLATES["UCF101"]
    expected_sizes = (7639, 1898, 3783)
    expected_classes = 101

    def fallback_split(self, rng: random.Random) -> Split:
        """The official lists, a fifth of each action's training videos for validation."""
        lists = self.folder / "ucfTrainTestlist"
        classes = read_entries(lists / "classInd.txt", _action_and_label, "1 ApplyEyeMakeup")
        label_of = dict(classes)
        if not len(classes) == len(label_of) == len(set(label_of.values())):
            raise DataError(f"{lists / 'classInd.txt'} has an action or a number twice; fetch the file again")
        train, val = split_80_20(_listed(lists / "trainlist01.txt", label_of), rng)
        return Split(train, val, _listed(lists / "testlist01.txt", label_of))


def _action_and_label(line: str) -> tuple[str, int] | None:
    number, action = line.split()
    return (action, int(number) - 1) if int(number) > 0 else None


def _listed(file: Path, label_of: Mapping[str, int]) -> list[SplitItem]:
    def parsed(line: str) -> SplitItem | None:
        """`ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1`; a number behind the path is not needed."""
        action, _, video = line.split()[0].partition("/")
        if action not in label_of or not video:
            return None
        name = words_of(action)
        return SplitItem(f"{name}/{Path(video).stem}.jpg", label_of[action], name)

    return read_items(file, parsed, "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi, with an action of classInd.txt")


def words_of(action: str) -> str:
    """`ApplyEyeMakeup` → `Apply_Eye_Makeup`: cut before each capital."""
    return "_".join(re.findall("[A-Z][^A-Z]*", action)) or action
