"""`classes.json`: what of a run's data set its results depend on, so that its folder can be used without the data."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lamm.errors import CheckpointError
from lamm.files import write_json

FILE_NAME = "classes.json"


@dataclass(frozen=True)
class RunClasses:
    """The classes of a run.

    Attributes:
        class_names: in label order; two classes may have the same name.
        templates: of a trainer whose prompts are hand-written, with `{}` for the class name.
        split_made_here: whether the data set was split by us, for want of the published split.
    """

    class_names: list[str]
    templates: list[str]
    split_made_here: bool = False

    @classmethod
    def of_trainer(cls, trainer: Any) -> "RunClasses":
        """What a built trainer tells; one that others wrote may tell less."""
        dataset = trainer.dm.dataset
        told = (getattr(dataset, "classnames", ()), getattr(trainer, "templates", ()))
        names, templates = (list(texts) if _are_texts(texts) else [] for texts in told)
        return cls(names, templates, getattr(dataset, "split_made_here", False) is True)

    def write(self, folder: Path) -> None:
        """Write the file into a run's folder, unless no class is known."""
        if self.class_names:
            write_json(folder / FILE_NAME, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "RunClasses | None":
        """The classes of a run's folder; None: it has no such file.

        Raises:
            CheckpointError: the file is damaged.
        """
        file = folder / FILE_NAME
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file} can't be read ({type(error).__name__}): run that seed again") from error
        held = content if isinstance(content, dict) else {}
        names, templates = held.get("class_names") or [], held.get("templates", ())
        if not (names and _are_texts(names) and isinstance(templates, list) and _are_texts(templates)):
            raise CheckpointError(f"{file} is damaged: it must hold lists of class_names and templates")
        return cls(names, templates, held.get("split_made_here") is True)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)
