"""What a project gives to others (classifier, ONNX, a table, lines of code), and what it takes from a `.lamm` file."""

import re
import shlex
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import lamm
from lamm.app.learned import PHOTO_LIST, Learned
from lamm.app.project import Project
from lamm.app.session import Session
from lamm.app.state import clean_name
from lamm.errors import DataError
from lamm.files import atomic_path

Maker = Callable[[Session], Path]
TOP = 3


def place(session: Session, ending: str) -> Path:
    """Where a file to hand over is written: named after the project, in the project's folder."""
    plain = unicodedata.normalize("NFKD", session.project.name)
    name = re.sub(r"[^\w-]+", "_", plain, flags=re.ASCII).strip("_")[:40] or "classifier"
    folder = session.project.folder / "handed_over"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}{ending}"


def learned_of(session: Session) -> Learned:
    """What the project has learned.

    Raises:
        DataError: nothing yet.
    """
    if session.learned is None:
        raise DataError("nothing is trained yet: press Train first")
    return session.learned


def classifier(session: Session) -> Path:
    """The classifier as a `.lamm` file."""
    file = place(session, ".lamm")
    learned_of(session).classifier.save(str(file))
    return file


def predictions(session: Session) -> Path:
    """The table of the photos on the page "Try", as `lamm predict --csv` writes it."""
    from lamm.inference.photos import Prediction, Table  # brings PyTorch

    learned, state = learned_of(session), session.project.state
    if not state.tried:
        raise DataError("the table has the photos of the page Try: drop some there first")
    names = state.names()
    answers = learned.predict(session.project, list(state.tried))
    file = place(session, ".csv")
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as opened:
        table = Table(opened, min(TOP, len(learned.names)))
        table.write(
            [
                Prediction(name, [(names.get(one, one), share) for one, share in answer.ranked[:TOP]])
                for name, answer in zip(state.tried.values(), answers, strict=True)
            ]
        )
    return file


def onnx(session: Session) -> Path:
    """The classifier as an ONNX file, as `lamm export` writes it.

    Raises:
        DataError: what writes ONNX is not installed.
    """
    from lamm.commands.parser import imported_extensions
    from lamm.estimator.model import model_of
    from lamm.inference.export import export
    from lamm.inference.onnx_file import missing_for_onnx

    if missing := missing_for_onnx():
        raise DataError(f"ONNX needs {missing}")
    model = model_of(classifier(session), imported_extensions([]), precision="fp32")
    assert model.run is not None, "it was made from a file"
    written, _ = export(model, model.run, place(session, "-export"))
    file = place(session, ".onnx.zip")
    with atomic_path(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in written:
            archive.write(one, one.name)
    return file


def merge(session: Session, file: str) -> list[str]:
    """Add the classes of an uploaded classifier to the project; their names.

    Raises:
        LammError: it is not a classifier, belongs to another backbone, or has a class of the project.
    """
    project, learned = session.project, learned_of(session)
    path = project.folder / "files" / Path(file).name
    try:
        other = lamm.load(str(path))
        names = [str(name) for name in other.classes_]
        if same := [name for name in names if project.find(name) is not None]:
            raise DataError(f'both have a class "{same[0]}": rename yours first, or remove it')
        if len({clean_name(name).casefold() for name in names}) < len(names):
            raise DataError("it has two classes whose names differ in capitals or spaces only: rename one there")
        learned.check_mergeable(other)
    except Exception:
        path.unlink(missing_ok=True)
        raise
    for name in names:
        project.add_class(name, path.name, f"merge {path.name}")
    return names


def code_lines(project: Project) -> list[tuple[str, str]]:
    """Title and text of the lines that do the same, in Python and in a shell."""
    folder, settings = project.folder, project.settings
    words = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    python = "\n".join(
        [
            "import csv, lamm",
            "from pathlib import Path",
            "",
            f"folder = Path({str(folder)!r})",
            f'rows = list(csv.DictReader(open(folder / "{PHOTO_LIST}", encoding="utf-8")))',
            f"clf = lamm.Classifier({words})",
            'clf.fit([folder / row["path"] for row in rows], [row["label"] for row in rows])',
            "print(clf.comparison_)",
            'clf.save("my_classifier.lamm")',
            'clf.predict(["new.jpg"], unknown=True)',
        ]
    )
    shell = "\n".join(
        [
            "lamm predict my_classifier.lamm new_photos/ --unknown --csv predictions.csv",
            "lamm export my_classifier.lamm",
            f"lamm app --data {shlex.quote(str(folder.parent.parent))}",
        ]
    )
    return [("Python: train and use it", python), ("Shell: use the file", shell)]
