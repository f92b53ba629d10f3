"""The page: all sections put into one HTML file that needs nothing beside it."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from lamm.errors import ResultsError
from lamm.files import write_text
from lamm.report.material import Material
from lamm.report.panels import Panel, Watch, dataset_panels
from lamm.report.tables import amount, shots_text
from lamm.results.collect import natural
from lamm.results.curves import ALL_SHOTS, ascending

TEMPLATES = Path(__file__).parent / "templates"
NEEDED = {"jinja2": "Jinja2", "matplotlib": "matplotlib", "PIL": "pillow", "sklearn": "scikit-learn"}
FEW_SHOT_COMMAND = "python train.py --trainer LAMM --dataset digits --shots 16 --seed 1"


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Attributes:
        file: Where.
        size: Bytes.
        runs: Finished runs in it.
        left_out: Panels there was no room for.
    """

    file: Path
    size: int
    runs: int
    left_out: int


def require_libraries() -> None:
    """Check that what draws and fills the page is installed.

    Raises:
        ResultsError: a library is missing.
    """
    for module, name in NEEDED.items():
        try:
            import_module(module)
        except ImportError as error:
            raise ResultsError(f'the report needs {name}; install it with: pip install -e ".[report]"') from error


def require_place(file: str | os.PathLike[str]) -> None:
    """Check that a page can be written to a file, whose folder need not be there yet.

    Raises:
        ResultsError: it can't.
    """
    page = Path(file)
    if page.is_dir():
        raise ResultsError(f"{page} is a folder; give the report's file, such as {page / 'report.html'}")
    above = next(folder for folder in page.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ResultsError(f"can't write {page}: {above} is a file, not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ResultsError(f"can't write {page}: {above} may not be written to")


def write_report(
    material: Material, file: str | os.PathLike[str], title: str = "", root: str = "", watch: Watch = iter
) -> Written:
    """Write the report of some runs.

    Args:
        material: The runs.
        file: The page.
        title: Its heading; empty: the names of the folders.
        root: Where the data are now; empty: where each run says.
        watch: Shows the progress of its longest part.

    Raises:
        ResultsError: a library of the extra `report` is missing, or there can't be such a file.
        OSError: the file can't be written.
    """
    require_libraries()
    require_place(file)
    page = Path(file)
    content = _content(material, page, title)
    environment = _environment()
    panels = dataset_panels(material, root, _renderer(environment, material), watch)
    text = environment.get_template("page.html.j2").render(**content, datasets=panels)
    write_text(page, text)
    return Written(page, len(text.encode()), len(material.finished), sum(one.left_out for one in panels))


def _content(material: Material, page: Path, title: str) -> dict[str, Any]:
    """What the template shows, but for the panels."""
    from lamm.report.drawings import curve_drawings
    from lamm.report.paper import few_shot_paper_table
    from lamm.report.paper_incremental import incremental_paper_table
    from lamm.report.paper_transfer import transfer_paper_table
    from lamm.report.tables import average_tables, cost_tables, means, run_list, shots_tables

    shown, number = problems(material)
    averages = means(material)
    few_shot = [few_shot_paper_table(material, name) for name in ("few_shot", "loss_parts", "label_init")]
    return {
        "title": title or f"Results in {', '.join(str(folder) for folder in material.folders)}",
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "summary": summary(material),
        "problems": shown,
        "all_problems": number,
        "averages": average_tables(material, averages),
        "by_dataset": shots_tables(material),
        "on_some_classes": material.on_some_classes,
        "drawings": curve_drawings(material, averages),
        "paper": [transfer_paper_table(material), incremental_paper_table(material), *few_shot],
        "cost": cost_tables(material),
        "runs": run_list(material, page),
        "runs_base": material.base.name,
        "few_shot_command": FEW_SHOT_COMMAND,
    }


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = lambda value: amount(value, 1, sign=True)
    environment.filters["count"] = lambda value: f"{value:.1f}".removesuffix(".0")
    return environment


def _renderer(environment: Any, material: Material) -> Callable[[Panel], str]:
    template = environment.get_template("panel.html.j2")
    return lambda panel: template.render(panel=panel, material=material)


MOST_PROBLEMS = 100


def summary(material: Material) -> dict[str, str]:
    """Title → text: runs, data sets, methods, shots, seeds, backbones, precision, software."""
    runs = material.finished
    everything = sum(map(len, material.groups.all.values()))
    facts = [material.facts[run.folder] for run in runs]
    shots = {ALL_SHOTS if run.key.shots < 1 else run.key.shots for run in runs if run.key.shots is not None}
    versions = Counter(f"{name} {version}" for one in facts for name, version in one.versions.items())
    lines = {
        "runs": f"{len(runs)} finished" + (f", {everything - len(runs)} unfinished" if everything > len(runs) else ""),
        "data sets": _listed(sorted({run.key.dataset for run in runs}, key=natural)),
        "methods": _listed(sorted({run.key.trainer for run in runs if run.key.trainer}, key=natural)),
        "shots": _listed(map(shots_text, ascending(shots))),
        "seeds": _listed(map(str, sorted({run.seed for run in runs if run.seed is not None}))),
        "backbone": _listed(sorted({one.backbone for one in facts if one.backbone})),
        "precision": _listed(sorted({one.precision for one in facts if one.precision})),
        "software": _listed(sorted(versions)),
    }
    return {name: text for name, text in lines.items() if text}


def problems(material: Material) -> tuple[list[str], int]:
    """Runs that are unfinished, missing or there twice: the first lines, and how many there are."""
    found = [problem.replace(f"{material.base}/", "") for problem in material.groups.problems()]
    return found[:MOST_PROBLEMS], len(found)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
