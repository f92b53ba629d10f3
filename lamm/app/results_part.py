"""The part "Results": how well it does, which photos go wrong, and where everything lies."""

from typing import TYPE_CHECKING, Any

from nicegui import ui

from lamm.app.elements import Confusion, PhotoGrid, PhotoMap
from lamm.app.review import ZERO_SHOT, Judged, judged
from lamm.app.state import State

if TYPE_CHECKING:
    from lamm.app.page import ProjectPage

METHODS = {ZERO_SHOT: "CLIP by the names alone", "LinearProbe": "Linear probe on the photos", "GDA": "Gaussian head"}


class ResultsPart:
    """The comparison, the wrong photos, the confusion matrix and the map."""

    def __init__(self, page: "ProjectPage") -> None:
        self.page = page
        self._seen: Any = None
        self.chosen: tuple[str, str] | None = None
        self.place = ui.column().classes("results")

    def show(self) -> None:
        """Show the results as they are now."""
        state, learned = self.page.session.project.state, self.page.session.learned
        seen = (learned.review if learned else None, state.classes)
        if self._seen is not None and all(one is other for one, other in zip(seen, self._seen, strict=True)):
            return
        self._seen = seen
        self.place.clear()
        with self.place:
            if learned is None:
                self._nothing()
                return
            found = judged(learned.review, state)
            self._comparison(learned.review)
            if found:
                self._wrong(found, state)
            elif not learned.review.left_out:
                ui.label("Training left no photo out: there is nothing to judge by.").classes("quiet")
            with ui.element("div").classes("pair"):
                if found:
                    self._confusion(found, state)
                self._map(learned.review, state)

    def _nothing(self) -> None:
        with ui.column().classes("empty"):
            ui.icon("insights").classes("large")
            ui.label("Nothing is trained yet").classes("title")
            ui.label("Give two classes some photos, then press Train: it takes seconds.").classes("quiet")

    def _comparison(self, review: Any) -> None:
        with ui.card().classes("panel"):
            ui.label("How well it does").classes("heading")
            ui.label(f"Photos that are named correctly, by {review.comparison_by}").classes("quiet")
            for method, accuracy in sorted(review.comparison.items(), key=lambda one: one[0] != review.method):
                own = method == review.method
                with ui.element("div").classes("bar-row own" if own else "bar-row"):
                    ui.label("This classifier" if own else METHODS.get(method, method)).props(f'title="{method}"')
                    with ui.element("div").classes("bar-track"):
                        ui.element("div").classes("bar-fill").style(f"width: {accuracy:.1f}%")
                    ui.label(f"{accuracy:.1f} %").classes("number")

    def _wrong(self, found: list[Judged], state: State) -> None:
        wrong = sorted((one for one in found if one.taken_for != one.class_id), key=lambda one: one.own_probability)
        names = state.names()
        with ui.card().classes("panel"):
            ui.label(f"Wrong photos ({len(wrong)})").classes("heading")
            if not wrong:
                ui.label("None: each photo was named correctly by a classifier that had not seen it.").classes("quiet")
                return
            ui.label(
                "A classifier that had not seen them takes these for another class. The first ones are probably in the "
                "wrong class: move them, and it learns that at once."
            ).classes("quiet")
            target = {one.file: one.taken_for for one in wrong}
            photos = [
                {
                    "file": one.file,
                    "title": f"{names[one.class_id]}, taken for {names[one.taken_for]} ({one.probability:.0%})",
                    "note": f"{names[one.class_id]} → {names[one.taken_for]} {one.probability:.0%}",
                    "action": f"Move to {names[one.taken_for]}",
                }
                for one in wrong
            ]
            PhotoGrid(
                self.page.base,
                photos,
                self.page.photo.open,
                lambda file: self.page.photo.page_move([file], target.get(file)),
            ).classes("wrong")

    def _confusion(self, found: list[Judged], state: State) -> None:
        used = {one.class_id for one in found} | {one.taken_for for one in found}
        classes = [one.id for one in state.classes if one.id in used]
        place = {class_id: number for number, class_id in enumerate(classes)}
        counts = [[0] * len(classes) for _ in classes]
        for one in found:
            counts[place[one.class_id]][place[one.taken_for]] += 1
        names = state.names()
        with ui.card().classes("panel"):
            ui.label("What is taken for what").classes("heading")

            def choose(cell: tuple[int, int]) -> None:
                row, column = (classes[number] for number in cell)
                files = [one for one in found if (one.class_id, one.taken_for) == (row, column)]
                heading.set_text(f"{len(files)} of “{names[row]}”, taken for “{names[column]}”")
                grid.show([{"file": one.file, "title": f"{one.probability:.0%}"} for one in files])

            Confusion([names[one] for one in classes], counts, choose)
            heading = ui.label().classes("subheading")
            grid = PhotoGrid(self.page.base, [], self.page.photo.open)

    def _map(self, review: Any, state: State) -> None:
        classes = [one for one in state.classes if one.id in review.map]
        place = {one.id: number for number, one in enumerate(classes)}
        points = [
            {"file": file, "x": review.map[file][0], "y": review.map[file][1], "label": place[class_id]}
            for file, class_id in state.labels().items()
            if file in review.map and class_id in place
        ]
        if not points:
            return
        texts = [{"name": one.name, "x": review.map[one.id][0], "y": review.map[one.id][1]} for one in classes]
        with ui.card().classes("panel"):
            ui.label("Map").classes("heading")
            ui.label("Photos that look alike to CLIP lie close. Diamonds are the learned class texts.").classes("quiet")
            PhotoMap(self.page.base, points, texts, self.page.photo.open)
