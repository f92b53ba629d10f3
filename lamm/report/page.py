"""The page: all sections put into one HTML file that needs nothing beside it."""

import os
from collections.abc import Iterable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from lamm.errors import ResultsError
from lamm.files import require_place, write_text
from lamm.report.material import Material
from lamm.report.panels import Watch, dataset_panels
from lamm.report.tables import NOTHING, amount, average_tables, cost_tables, means, run_list, shots_tables, shots_text
from lamm.results.curves import ALL_SHOTS, ascending
from lamm.results.frame import natural, problems

TEMPLATES = Path(__file__).parent / "templates"
LIBRARIES = {"jinja2": "Jinja2", "matplotlib": "matplotlib", "PIL": "pillow", "sklearn": "scikit-learn"}
MARK = '<meta name="generator" content="LAMM report">'
"""A page has this line near its beginning."""
MOST_PROBLEMS = 100


def require_libraries() -> None:
    """Check that what draws and fills the page is installed.

    Raises:
        ResultsError: A library is missing.
    """
    for module, name in LIBRARIES.items():
        try:
            import_module(module)
        except ImportError as error:
            raise ResultsError(f'the report needs {name}; install it with: pip install -e ".[report]"') from error


def write_report(
    material: Material, file: str | os.PathLike[str], title: str = "", root: str = "", watch: Watch = iter
) -> tuple[int, int]:
    """Write the report of some runs.

    Args:
        material: The runs.
        file: The page; a report that exists is replaced.
        title: Its heading; empty: the names of the folders.
        root: Where the data are now; empty: where each run says.
        watch: Shows the progress of its longest part.

    Returns:
        size: Of the page in bytes.
        left_out: Number of panels there was no room for.

    Raises:
        ResultsError: A library of the extra `report` is missing.
        ConfigError: The page can't be written there.
        OSError: The file can't be written.
    """
    require_libraries()
    require_place(file, MARK)
    page = Path(file)
    content = _content(material, page, title)
    environment = page_environment(TEMPLATES)
    panel = environment.get_template("panel.html.j2")
    panels = dataset_panels(material, root, lambda shown: panel.render(material=material, **shown), watch)
    text = environment.get_template("page.html.j2").render(**content, datasets=panels)
    text = text.encode(errors="backslashreplace").decode()  # names of files may be no UTF-8
    write_text(page, text)
    return len(text.encode()), sum(one.left_out for one in panels)


def _content(material: Material, page: Path, title: str) -> dict[str, Any]:
    """What the template shows, but for the panels."""
    from lamm.report.drawings import curve_drawings
    from lamm.report.paper import few_shot_paper_table, is_on_own_photos
    from lamm.report.paper_protocols import incremental_paper_table, transfer_paper_table

    averages = means(material)
    few_shot = [few_shot_paper_table(material, name) for name in ("few_shot", "loss_parts", "label_init", "field")]
    paper = [transfer_paper_table(material), incremental_paper_table(material), *few_shot]
    own_photos = is_on_own_photos(material)
    lines = [material.shown(line) for line in problems(material.runs)]
    return {
        "mark": MARK,
        "title": title or f"Results in {', '.join(str(folder) for folder in material.folders)}",
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "summary": summary(material),
        "problems": lines[:MOST_PROBLEMS],
        "all_problems": len(lines),
        "averages": average_tables(material, averages),
        "averaged": {name for mean in averages if len(mean.points) for name in mean.datasets},
        "by_dataset": shots_tables(material),
        "on_some_classes": material.on_some_classes,
        "drawings": curve_drawings(material, averages),
        "own_photos": own_photos,
        "paper": [one for one in paper if not own_photos or one.further or one.problems or one.error],
        "cost": cost_tables(material),
        "runs": run_list(material, page),
        "runs_base": material.base.name,
        "few_shot_command": "python train.py --trainer LAMM --dataset digits --shots 16 --seed 1",
    }


def page_environment(*folders: Path) -> Any:
    """What renders templates to HTML, escaped; the first folder that has a template counts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = lambda value: amount(value, 1, sign=True)
    environment.filters["count"] = lambda value: NOTHING if pd.isna(value) else f"{value:.1f}".removesuffix(".0")
    environment.filters["known"] = lambda value: "?" if pd.isna(value) else value
    return environment


def summary(material: Material) -> dict[str, str]:
    """Title → text: runs, data sets, methods, shots, seeds, backbones, precision, software."""
    runs, unfinished = material.finished, len(material.runs) - len(material.finished)
    shots = {ALL_SHOTS if number < 1 else int(number) for number in runs.shots.dropna()}
    lines = {
        "runs": f"{len(runs)} finished" + (f", {unfinished} unfinished" if unfinished else ""),
        "data sets": _listed(sorted({*runs.dataset}, key=natural)),
        "methods": _listed(sorted({*runs.trainer}, key=natural)),
        "shots": _listed(map(shots_text, ascending(shots))),
        "seeds": _listed(map(str, sorted({*runs.seed.dropna()}))),
        "backbone": _listed(sorted({*runs.backbone})),
        "precision": _listed(sorted({*runs.precision})),
        "software": _listed(sorted({f"{name} {version}" for some in runs.versions for name, version in some.items()})),
    }
    return {name: text for name, text in lines.items() if text}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(filter(None, names))
