"""A data set's finished folder, packed on another machine, is laid out again as it was."""

from pathlib import Path

import pytest

from lamm.datasets import dataset_class
from lamm.preparing.prepare import Preparation
from tests.datasets.miniature_trees import MINIATURES, build_miniature
from tests.preparing.dataset_archives import tar
from tests.preparing.small_sources import fitting_source


@pytest.mark.parametrize("name", MINIATURES)
def test_a_packed_folder_in_the_benchmarks_layout_is_taken(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path / "there")
    files = {
        str(file.relative_to(tmp_path / "there")): file.read_bytes()
        for file in sorted(truth.folder.rglob("*"))
        if file.is_file()
    }
    (tmp_path / "packed.tar.gz").write_bytes(tar(files, "w:gz"))
    preparation = Preparation(fitting_source(name, tmp_path / "there"), tmp_path / "here")
    assert preparation.run([tmp_path / "packed.tar.gz"]) == []
    assert preparation.survey.loads
    split = dataset_class(name).split_on_disk(tmp_path / "here")
    assert {item.path: item.label for item in split.items()} == truth.label_of
    assert [len(split.train), len(split.val), len(split.test)] == list(truth.sizes)
