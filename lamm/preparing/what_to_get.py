"""What a person has to get for a data set, and where it goes, as lines of plain text."""

from collections.abc import Iterable
from pathlib import Path

from lamm.datasets.sources import Need, Part, PublishedFile, Source
from lamm.preparing.parts import Survey

_SIZES = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def lines_to_get(source: Source, root: Path, needed: Iterable[Part]) -> list[str]:
    """Which files to get for the parts that are needed, from which page, and the command that lays them out."""
    needed = list(needed)
    targets = {part.target for part in needed}
    files = [file for file in source.files if targets & set(file.gives)]
    if not files:
        return []
    lines = [f"To get, from {source.page}:"]
    for file in files:
        lines += _lines_of_file(file, source)
    if any(part.need is Need.REQUIRED for part in needed):
        lines += [f"  Note: {note}" for note in source.notes]
    command = f"python tools/prepare_data.py {source.name} --root {root}"
    lines.append("Then, with the folder that the files are in:")
    lines.append(f"  {command} --from ~/Downloads")
    if any(file.urls or file.drive_id for file in files):
        lines.append("or let it fetch what can be fetched:")
        lines.append(f"  {command} --download")
    return lines


def lines_of_layout(source: Source, root: Path) -> list[str]:
    """How the data set's folder looks when everything is there."""
    parts = [part for part in source.parts if part.need not in (Need.EXTRA, Need.SORTING)]
    rows = [(_example(part), _remark(part)) for part in parts]
    width = max(len(example) for example, _ in rows)
    return [f"{root / source.folder}/", *(f"  {example:{width}}  {remark}".rstrip() for example, remark in rows)]


def size_in_words(size: int) -> str:
    """ "137 MB"; to two or three digits."""
    unit, factor = next(((unit, factor) for unit, factor in _SIZES if size >= factor), ("bytes", 1))
    number = size / factor
    return f"{number:.1f} {unit}" if number < 10 and factor > 1 else f"{number:,.0f} {unit}"


def purpose(part: Part) -> str:
    """Why a part is needed, for those where it isn't plain; "" for the others."""
    return {
        Need.SPLIT: "the published split: without it a split is made here, and results can't be compared with papers",
        Need.LISTS: "only needed where the published split can't be had: a split is made from it",
        Need.SORTING: "says which class each validation image is of",
    }.get(part.need, "")


def _lines_of_file(file: PublishedFile, source: Source) -> list[str]:
    about = f" (about {size_in_words(file.bytes_about)})" if file.bytes_about else ""
    where = ", or ".join(file.urls) or file.where
    lines = [f"  {file.name}{about}{'  ' + where if where else ''}"]
    why = purpose(source.part(file.gives[0]))
    if why:
        lines.append(f"    {why}")
    if file.drive_id:
        lines.append("    on Google Drive: open the link in a browser, or pip install gdown and use --download")
    if file.trouble:
        lines.append(f"    {file.trouble}")
    return lines


def _example(part: Part) -> str:
    if not part.is_folder:
        return part.target
    return f"{part.target}/{part.holds[0]} …" if part.holds else f"{part.target}/"


def _remark(part: Part) -> str:
    if part.images:
        folders = f" in {part.folders:,} folders" if part.folders else ""
        return f"{part.images:,} images{folders}"
    return {Need.SPLIT: "the published split", Need.LISTS: "only where the published split is absent"}.get(
        part.need, ""
    )


def state_lines(survey: Survey) -> list[str]:
    """A line for each part that is there or needed: what it lacks, or that it is whole."""
    parts = [part for part in survey.source.parts if survey.is_needed(part) or not survey.lack(part)]
    shown = [part for part in parts if part.need is not Need.EXTRA]
    width = max((len(part.target) for part in shown), default=0)
    return [f"  {part.target:{width}}  {survey.lack(part) or 'whole'}" for part in shown]
