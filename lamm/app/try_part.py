"""The part "Try": new photos, what the classifier says of them, and what they really are."""

from typing import TYPE_CHECKING, Any

from nicegui import ui

from lamm.app.elements import PhotoInput
from lamm.app.learned import Answer
from lamm.app.server import TRY
from lamm.app.state import State

if TYPE_CHECKING:
    from lamm.app.page import ProjectPage

TOP, FIRST = 3, 24


class TryPart:
    """A place to drop photos, and an answer for each."""

    def __init__(self, page: "ProjectPage") -> None:
        self.page, self._seen, self.shown = page, None, FIRST
        PhotoInput(
            f"{page.base}/photo",
            page.uploaded,
            into=TRY,
            label="Drop photos that it has not seen",
            hint="You get the three best classes, or that none fits. Nothing is learned until you say what it is.",
        )
        self.place = ui.column().classes("answers-box")

    def show(self) -> None:
        """Show the answers as they are now."""
        session = self.page.session
        state = session.project.state
        seen: Any = (session.learned is not None, tuple(state.tried), len(session.answers), state.classes, self.shown)
        if seen == self._seen:
            return
        self._seen = seen
        self.place.clear()
        with self.place:
            if session.learned is None:
                with ui.column().classes("empty"):
                    ui.icon("center_focus_strong").classes("large")
                    ui.label("Train first").classes("title")
                    ui.label("Then it says what is on a new photo, or that it is none of your classes.").classes(
                        "quiet"
                    )
            if not state.tried:
                return
            with ui.row().classes("wrap"):
                ui.label(f"{len(state.tried)} photos").classes("heading grow")
                ui.button("Clear", on_click=lambda: self.page.step(session.project.clear_tried)).props("flat")
            with ui.element("div").classes("answers"):
                for file in list(state.tried)[: self.shown]:
                    self._answer(file, state, session.answers.get(file))
            if len(state.tried) > self.shown:
                ui.button(f"{len(state.tried) - self.shown} more", on_click=self.more).props("outline")

    def more(self) -> None:
        self.shown += 4 * FIRST
        self.show()

    def _answer(self, file: str, state: State, answer: Answer | None) -> None:
        names, there = state.names(), state.class_of(file)
        with ui.card().classes("panel answer"):
            button = ui.element("button").classes("picture").on("click", lambda: self.page.photo.open(file))
            button.props('type="button"')
            with button:
                picture = ui.element("img").props(f'src="{self.page.base}/thumbnail/{file}" loading="lazy"')
                picture.props["alt"] = state.tried[file]
            with ui.column().classes("grow said"):
                if answer is None:
                    ui.label("…" if self.page.session.is_trained else "Not looked at yet").classes("quiet")
                else:
                    ranked = [(class_id, share) for class_id, share in answer.ranked if class_id in names]
                    self._ranked(ranked, names, answer.unknown)
                if there is not None:
                    ui.label(f"✓ Now in class “{there.name}”").classes("done")
                else:
                    self._correct(file, names, answer)

    def _ranked(self, ranked: list[tuple[str, float]], names: dict[str, str], unknown: bool) -> None:
        if unknown:
            ui.label("None of these").classes("badge unknown")
        elif ranked:
            ui.label(names[ranked[0][0]]).classes("badge")
        for class_id, share in ranked[:TOP]:
            with ui.element("div").classes("bar-row"):
                ui.label(names[class_id])
                with ui.element("div").classes("bar-track"):
                    ui.element("div").classes("bar-fill").style(f"width: {100 * share:.1f}%")
                ui.label(f"{share:.0%}").classes("number")

    def _correct(self, file: str, names: dict[str, str], answer: Answer | None) -> None:
        project = self.page.session.project

        def put(class_id: str) -> None:
            if self.page.step(lambda: project.move([file], class_id)):
                self.page.changed(project.undo_title)

        def put_named(name: str | None) -> None:
            if not name:
                return
            class_id = name if name in names else self.page.step(lambda: project.add_class(name))
            if class_id:
                put(class_id)

        with ui.row().classes("wrap"):
            if answer is not None and answer.ranked and not answer.unknown:
                best = answer.ranked[0][0]
                ui.button("Right", icon="check", on_click=lambda: put(best)).props("dense outline no-caps")
            choice = ui.select(names, label="It is a …", with_input=True, new_value_mode="add-unique")
            choice.props("outlined dense options-dense").classes("it-is")
            choice.on_value_change(lambda event: put_named(event.value))
