"""Elements of the page that NiceGUI does not have: thumbnails, an input of photos, a confusion matrix, a map.

Each is a Vue component in the file beside, which escapes every text that it shows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui.element import Element

from lamm.app.photos import LARGEST_FILE

Handler = Callable[[Any], Any]


class PhotoGrid(Element, component="photo_grid.js"):
    """Thumbnails that can be clicked.

    Args:
        base: address of the project.
        photos: of each `file`, `title`, and where wanted `note` and `action`, the text of a button.
        on_open: is told the file that was clicked.
        on_act: is told the file whose button was clicked.
    """

    def __init__(
        self,
        base: str,
        photos: Sequence[Mapping[str, str]],
        on_open: Handler,
        on_act: Handler | None = None,
    ) -> None:
        super().__init__()
        self._props["base"] = base
        self._props["photos"] = list(photos)
        self.on("open", lambda event: on_open(str(event.args)))
        if on_act is not None:
            self.on("act", lambda event: on_act(str(event.args)))

    def show(self, photos: Sequence[Mapping[str, str]]) -> None:
        """Show these photos instead."""
        if self._props["photos"] != list(photos):
            self._props["photos"] = list(photos)
            self.update()


class PhotoInput(Element, component="photo_input.js"):
    """Takes photos, or another kind of file: dropped, chosen, or from the camera.

    Args:
        url: to send each file to.
        on_done: is told counts (`added`, `known`, `refused`) and `reasons`, `classes` and `files` when all are sent.
        into: id of the class; "": by the folders' names.
        loose: name of the class for files without a folder.
        label: what it takes.
        hint: a second line; the element is large then.
        folders: whether whole folders can be chosen.
        camera: whether the camera can be used.
        zone: CSS selector of what around it takes drops too.
        accept: types of files to choose from.
        single: whether it takes one file.
        limit: bytes of a file.
    """

    def __init__(
        self,
        url: str,
        on_done: Handler,
        into: str = "",
        loose: str = "",
        label: str = "",
        hint: str = "",
        folders: bool = False,
        camera: bool = True,
        zone: str = "",
        accept: str = "image/*",
        single: bool = False,
        limit: int = LARGEST_FILE,
    ) -> None:
        super().__init__()
        props = {"url": url, "into": into, "loose": loose, "label": label, "hint": hint, "folders": folders}
        for key, value in {**props, "camera": camera, "zone": zone, "accept": accept, "single": single}.items():
            self._props[key] = value
        self._props["limit"] = limit
        self.on("done", lambda event: on_done(event.args))


class Confusion(Element, component="confusion.js"):
    """A confusion matrix.

    Args:
        names: of the classes, (N,).
        counts: (N, N).
        on_choose: is told row and column of a cell that was clicked.
    """

    def __init__(self, names: Sequence[str], counts: Sequence[Sequence[int]], on_choose: Handler) -> None:
        super().__init__()
        self._props["names"], self._props["counts"] = list(names), [list(row) for row in counts]
        self.on("choose", lambda event: on_choose(tuple(event.args)))


class PhotoMap(Element, component="photo_map.js"):
    """A map of photos.

    Args:
        base: address of the project.
        points: of each photo `file`, `x`, `y` and `label`, the number of its class.
        texts: of each class `name`, `x` and `y`.
        on_open: is told the file that was clicked.
    """

    def __init__(
        self, base: str, points: Sequence[Mapping[str, Any]], texts: Sequence[Mapping[str, Any]], on_open: Handler
    ) -> None:
        super().__init__()
        self._props["base"], self._props["points"], self._props["texts"] = base, list(points), list(texts)
        self.on("open", lambda event: on_open(str(event.args)))
