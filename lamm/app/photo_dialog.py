"""One photo in full size, what is known about it, and where it may go."""

from typing import TYPE_CHECKING

from nicegui import ui

from lamm.app.review import judged

if TYPE_CHECKING:
    from lamm.app.page import ProjectPage


class PhotoDialog:
    """The dialog that a click on any thumbnail opens."""

    def __init__(self, page: "ProjectPage") -> None:
        self.page, self.file = page, ""
        with ui.dialog() as self.dialog, ui.card().classes("photo-dialog"):
            self.image = ui.element("img").props('alt=""')
            self.name = ui.label().classes("heading")
            self.line = ui.label().classes("quiet")
            with ui.row().classes("wrap"):
                self.target = ui.select({}, label="Move to").props("outlined dense options-dense")
                ui.button("Move", icon="drive_file_move", on_click=self.move)
                ui.button("Remove", icon="delete", on_click=self.remove).props("outline color=negative")
                ui.button("Close", on_click=self.dialog.close).props("flat")

    def open(self, file: str) -> None:
        """Show one photo."""
        state, learned = self.page.session.project.state, self.page.session.learned
        self.file, place = file, state.class_of(file)
        self.image.props(f"src={self.page.base}/photo/{file}")
        self.name.set_text((place.photos[file] if place else state.tried.get(file)) or file)
        line = f"In class “{place.name}”." if place else "In no class."
        found = {one.file: one for one in judged(learned.review, state)} if learned else {}
        if file in found:
            names = state.names()
            line += (
                f" A classifier that had not seen it takes it for “{names[found[file].taken_for]}” "
                f"({found[file].probability:.0%})."
            )
        self.line.set_text(line)
        others = {one.id: one.name for one in state.classes if place is None or one.id != place.id}
        self.target.set_options(
            others, value=found[file].taken_for if file in found and found[file].taken_for in others else None
        )
        self.dialog.open()

    def move(self) -> None:
        self.page_move([self.file], self.target.value)

    def page_move(self, files: list[str], class_id: str | None) -> None:
        """Move photos, and say so."""
        if not class_id:
            ui.notify("Choose a class to move it to", type="warning")
            return
        project = self.page.session.project
        if self.page.step(lambda: project.move(files, class_id)):
            self.dialog.close()
            self.page.changed(project.undo_title)

    def remove(self) -> None:
        project = self.page.session.project
        if self.page.step(lambda: project.remove_photos([self.file])):
            self.dialog.close()
            self.page.changed(project.undo_title)
