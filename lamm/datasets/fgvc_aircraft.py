"""FGVC-Aircraft: 100 variants of aircraft."""

from collections.abc import Mapping
from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import PARTS, Split, SplitItem
from lamm.datasets.templates import TEMPLATES
from lamm.datasets.text_lists import read_entries, read_items


class FGVCAircraft(BenchmarkDataset):
    """3,334 / 3,333 / 3,333 photos; the official lists, so there is no split file."""

    dataset_dir = "fgvc_aircraft"
    image_prefix = "images"
    template = TEMPLATES["FGVCAircraft"]
    expected_sizes = (3334, 3333, 3333)
    expected_classes = 100

    def whole_split(self) -> Split:
        """`images_variant_{train,val,test}.txt`; labels are the variants' lines in `variants.txt`."""
        variants = read_entries(self.folder / "variants.txt", str, "variant name")
        label_of = {name: label for label, name in enumerate(variants)}
        return Split(*(_listed(self.folder / f"images_variant_{part}.txt", label_of) for part in PARTS))


def _listed(file: Path, label_of: Mapping[str, int]) -> list[SplitItem]:
    def parsed(line: str) -> SplitItem | None:
        """`0034309 F/A-18`: only the first space separates."""
        image, name = line.split(maxsplit=1)
        return SplitItem(f"{image}.jpg", label_of[name], name) if name in label_of else None

    return read_items(file, parsed, "image_id name, with a name of variants.txt")
