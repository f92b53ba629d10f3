"""A review of six photos."""

from pathlib import Path

import pytest
import torch

from lamm.review.findings import Photos, Review, review
from lamm.review.photos import look
from tests.pictures import noise

NAMES = ["=<script>alert(1)</script> & pear", "plum", "a" * 90]


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Review:
    """Six photos; 1 is labelled wrongly, 4 and 5 are the same in two parts, all are small."""
    folder = tmp_path_factory.mktemp("review")
    paths = [str(folder / f"<b>{number}.png") for number in range(6)]
    for number, path in enumerate(paths):
        noise(40, 40, 20 + 10 * min(number, 4), seed=number).save(path)
    Path(paths[5]).write_bytes(Path(paths[4]).read_bytes())
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    photos = Photos(paths, labels, ["train"] * 5 + ["test"], NAMES, str(folder))
    features = torch.eye(6)
    log_p = torch.full((6, 3), 0.1)
    log_p[torch.arange(6), torch.tensor([0, 1, 0, 1, 2, 2])] = 0.8
    zero_shot = torch.tensor([1, 1, 0, 1, 2, 2])
    return review(photos, [look(path) for path in paths], features, log_p.log(), zero_shot, NAMES, 64, "CLIP & all")
