"""The part "Hand over": the classifier as files, and the lines that do the same without this page."""

from functools import partial
from typing import TYPE_CHECKING, Any

from nicegui import ui

from lamm.app import handover
from lamm.app.elements import PhotoInput
from lamm.app.server import LARGEST_CLASSIFIER

if TYPE_CHECKING:
    from lamm.app.page import ProjectPage


class HandoverPart:
    """Files to take along, other classifiers to merge, lines of code, and the settings."""

    def __init__(self, page: "ProjectPage") -> None:
        self.page, self._seen = page, list[tuple[str, str]]()
        project = page.session.project
        with ui.card().classes("panel"):
            ui.label("Take it with you").classes("heading")
            self.hint = ui.label("Train first: then there is something to take along.").classes("quiet")
            with ui.row().classes("wrap") as self.buttons:
                ui.button(
                    "Classifier (.lamm)", icon="download", on_click=lambda: self.give("Saving", handover.classifier)
                )
                ui.button("ONNX", icon="download", on_click=lambda: self.give("Writing ONNX", handover.onnx)).props(
                    "outline"
                )
                ui.button(
                    "Predictions (CSV)",
                    icon="download",
                    on_click=lambda: self.give("Writing the table", handover.predictions),
                ).props("outline")
            ui.label(
                "The .lamm file holds no photo. The table has the photos of “Try”; ONNX is for programs without Python."
            ).classes("quiet small")
        with ui.card().classes("panel"):
            ui.label("Merge another classifier").classes("heading")
            ui.label(
                "Its classes come in without its photos and without training. It must be of the same backbone."
            ).classes("quiet")
            PhotoInput(
                f"{page.base}/classifier",
                self.merge,
                label="Choose a .lamm file",
                accept=".lamm",
                single=True,
                camera=False,
                limit=LARGEST_CLASSIFIER,
            )
        with ui.card().classes("panel"):
            ui.label("The same without this page").classes("heading")
            self.lines = ui.element("div").classes("lines")
        with ui.card().classes("panel"):
            ui.label("Project").classes("heading")
            with ui.row().classes("wrap"):
                self.name = ui.input("Name", value=project.name).props("outlined dense")
                ui.button("Rename", on_click=self.rename).props("outline")
            ui.label(f"Photos and states are stored in {project.folder}").classes("quiet small path")

    def show(self) -> None:
        """Show what can be handed over now."""
        trained = self.page.session.is_trained
        self.hint.visible, self.buttons.visible = not trained, trained
        lines = handover.code_lines(self.page.session.project)
        if self._seen != lines:
            self._seen = lines
            self.lines.clear()
            with self.lines:
                for title, text in lines:
                    ui.label(title).classes("subheading")
                    with ui.row().classes("code"):
                        ui.label(text).classes("pre")
                        ui.button(icon="content_copy", on_click=lambda text=text: self.copy(text)).props(
                            'flat round dense aria-label="Copy"'
                        )

    def copy(self, text: str) -> None:
        ui.clipboard.write(text)
        ui.notify("Copied")

    async def give(self, title: str, make: handover.Maker) -> None:
        """Make a file and have the browser take it."""
        session = self.page.session
        file = await self.page.compute(lambda: session.compute(title, lambda job: make(session)))
        if file is not None:
            ui.download.file(file, file.name)

    async def merge(self, answer: dict[str, Any]) -> None:
        """Take the classes of a file that was sent."""
        if answer["refused"]:
            self.page.uploaded(answer)
            return
        session = self.page.session
        work = partial(session.compute, "Merging", lambda job: handover.merge(session, answer["files"][0]))
        names = await self.page.compute(work)
        if names is not None:
            session.touch()
            self.page.changed(f"{len(names)} classes merged: {', '.join(names[:5])}")

    def rename(self) -> None:
        if self.page.step(lambda: self.page.session.project.rename_project(self.name.value or "")):
            ui.notify("Renamed")
