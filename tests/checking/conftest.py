"""Fixtures of the checks: a small Caltech-101 that is whole, as the catalogue and the loader see it."""

from dataclasses import replace
from pathlib import Path

import pytest

from lamm.datasets import dataset_class
from lamm.datasets.sources import Need
from lamm.files import sha256_of_file
from tests.checking.checked_data import Builder, Checked
from tests.datasets.miniature_trees import PUBLISHED_SPLITS, build_miniature, write_published_split
from tests.preparing.dataset_archives import fitting_source


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """Make a small data set that is whole; with its published split file if there is one."""

    def made(name: str, published: bool = True) -> Checked:
        truth = build_miniature(name, tmp_path / "data")
        source, dataset = fitting_source(name, tmp_path / "data"), dataset_class(name)
        sizes = truth.sizes
        if published and name in PUBLISHED_SPLITS:
            content = write_published_split(name, truth)
            sizes = (len(content["train"]), len(content["val"]), len(content["test"]))
            file = truth.folder / PUBLISHED_SPLITS[name]
            known = {"size": file.stat().st_size, "sha256": sha256_of_file(file)}
            parts = [replace(part, **known) if part.need is Need.SPLIT else part for part in source.parts]
            source = replace(source, parts=tuple(parts))
        monkeypatch.setattr(dataset, "expected_sizes", sizes)
        monkeypatch.setattr(dataset, "expected_classes", len(truth.classnames))
        return Checked(tmp_path / "data", source, truth)

    return made


@pytest.fixture
def caltech(build: Builder) -> Checked:
    """The small Caltech-101."""
    return build("caltech101")
