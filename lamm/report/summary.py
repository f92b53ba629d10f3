"""What was found, in a few lines."""

from collections import Counter
from collections.abc import Iterable

from lamm.report.material import Material
from lamm.report.shots_tables import shots_text
from lamm.results.few_shot_curve import ALL_SHOTS, ascending
from lamm.results.groups import natural

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
