"""The two pages: the list of projects, and one project with its parts (photos, results, try, hand over).

The project is the server's; a page shows it and looks several times a second whether it has changed, so that every tab
shows the same.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from nicegui import ui

from lamm.app import example
from lamm.app.classes_part import ClassesPart
from lamm.app.handover_part import HandoverPart
from lamm.app.photo_dialog import PhotoDialog
from lamm.app.project import Project, ago, projects_below
from lamm.app.results_part import ResultsPart
from lamm.app.server import Studio
from lamm.app.session import Session
from lamm.app.try_part import TryPart
from lamm.errors import LammError

STYLE = Path(__file__).parent / "static" / "style.css"
REFRESH = 0.25


class Part(Protocol):
    """A part of a project's page."""

    def show(self) -> None:
        """Show what has changed since the last time."""


PARTS: tuple[tuple[str, str, Callable[["ProjectPage"], Part]], ...] = (
    ("Photos", "photo_library", ClassesPart),
    ("Results", "insights", ResultsPart),
    ("Try", "center_focus_strong", TryPart),
    ("Hand over", "redeem", HandoverPart),
)
TINY, USUAL = "tiny", "ViT-B/16"
SETTINGS = {"method": "LAMM_GDA", "folds": 3}


def add_pages(studio: Studio) -> None:
    """Offer the pages."""
    ui.add_css(STYLE.read_text(encoding="utf-8"), shared=True)

    @ui.page("/", title="LAMM")
    def home() -> None:
        Home(studio)

    @ui.page("/project/{name}", title="LAMM")
    def project(name: str) -> None:
        try:
            session = studio.session(name)
        except LammError as error:
            _frame("LAMM")
            with ui.column().classes("main empty"):
                ui.label(str(error)).classes("title")
                ui.button("All projects", on_click=lambda: ui.navigate.to("/"))
            return
        ProjectPage(session, f"/project/{name}")


def _frame(title: str) -> Any:
    """The top of a page; the row to add to."""
    ui.colors(primary="#4f46e5", secondary="#64748b", accent="#d97706", positive="#15803d", negative="#b91c1c")
    dark = ui.dark_mode(None)
    with ui.header().classes("top"), ui.row().classes("bar"):
        ui.link("", "/").classes("logo").props('aria-label="All projects"')
        ui.label(title).classes("project-name")
        row = ui.row().classes("tools")
        with row:
            toggle = ui.button(icon="contrast").props(
                'flat round dense aria-label="Dark or light" title="Dark or light"'
            )
            toggle.on_click(lambda: dark.set_value(dark.value is not True))
    return row


class Home:
    """The list of projects, and what makes one."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        _frame("Your projects")
        with ui.column().classes("main narrow"):
            with ui.card().classes("panel welcome"):
                ui.label("Teach CLIP your classes from a few photos").classes("title")
                ui.label(
                    "Drop a folder of photos per class, train in seconds, see what goes wrong, and take the classifier "
                    "with you. Everything stays on this machine."
                ).classes("quiet")
                with ui.row().classes("wrap"):
                    self.name = ui.input("Name of a new project", placeholder="My animals").props("outlined dense")
                    self.name.on("keydown.enter", self.create)
                    self.backbone = ui.select([TINY], value=TINY, label="CLIP model").props("outlined dense")
                    self.backbone.style("min-width: 8rem")
                    self.new = ui.button("New project", icon="add", on_click=self.create)
                self.note = ui.label().classes("quiet small")
                with ui.row().classes("wrap"):
                    ui.button("Try the example", icon="auto_awesome", on_click=self.create_example).props("outline")
                    ui.label("It needs no photos and no weights.").classes("quiet")
            self.offer()
            ui.timer(REFRESH, self.offer)
            rows = list(projects_below(studio.projects))
            if rows:
                ui.label("Your projects").classes("heading")
            for folder, name, moment in rows:
                with ui.link("", f"/project/{folder}").classes("panel project-row"):
                    ui.icon("folder_open")
                    ui.label(name).classes("grow")
                    ui.label(ago(moment)).classes("quiet")
            ui.label(f"Projects and photos are stored in {studio.projects}").classes("quiet small path")

    def offer(self) -> None:
        """Offer the backbones that are on this machine, once they are known; the usual one is chosen."""
        known = self.studio.backbones
        self.note.visible = known == [TINY]
        self.new.set_enabled(bool(known))
        if not known or self.note.text:
            return
        self.backbone.set_options(known, value=USUAL if USUAL in known else known[0])
        self.note.set_text(
            f"CLIP's weights are not on this machine: “lamm get {USUAL}” fetches them. “{TINY}” is a demo model that "
            "has never seen a photograph."
        )

    def _make(self, name: str, settings: dict[str, Any]) -> Project | None:
        try:
            return self.studio.create(name, settings)
        except (LammError, OSError) as error:
            ui.notify(str(error), type="negative")
            return None

    def create(self) -> None:
        if not self.studio.backbones:
            return
        project = self._make(self.name.value or "My photos", {**SETTINGS, "backbone": self.backbone.value})
        if project is not None:
            ui.navigate.to(f"/project/{project.folder.name}")

    def create_example(self) -> None:
        project = self._make(example.NAME, {**SETTINGS, **example.SETTINGS})
        if project is not None:
            session = self.studio.session(project.folder.name)
            session.do_first("Making the example", lambda job: example.fill(session.project, job.tell))
            ui.navigate.to(f"/project/{project.folder.name}")


class ProjectPage:
    """One project, in one tab of a browser.

    Args:
        session: the open project.
        base: its address.
    """

    def __init__(self, session: Session, base: str) -> None:
        self.session, self.base = session, base
        self._seen = 0
        with _frame(session.project.name):
            self.undo = ui.button(icon="undo", on_click=lambda: self.step(session.project.undo))
            self.redo = ui.button(icon="redo", on_click=lambda: self.step(session.project.redo))
            for button, label in ((self.undo, "Undo"), (self.redo, "Redo")):
                button.props(f'flat round dense aria-label="{label}"').move(target_index=0 if label == "Undo" else 1)
        self.photo = PhotoDialog(self)
        self.notes = ui.element("div")  # stays when the part whose button was clicked is shown anew
        with ui.column().classes("main"):
            self._status()
            with ui.tabs().classes("parts").props("no-caps inline-label") as tabs:
                for label, icon, _ in PARTS:
                    ui.tab(label, icon=icon)
            with ui.tab_panels(tabs, value=PARTS[0][0], animated=False, keep_alive=True).classes("panels"):
                self.parts: list[Part] = []
                for label, _, part in PARTS:
                    with ui.tab_panel(label):
                        self.parts.append(part(self))
        self.tabs = tabs
        self.show()
        ui.timer(REFRESH, self.show)

    def _status(self) -> None:
        with ui.row().classes("status panel"):
            with ui.column().classes("grow"):
                self.line = ui.label().classes("status-line").props('role="status"')
                self.progress = ui.linear_progress(0, show_value=False).props("instant-feedback")
            self.cancel = ui.button("Cancel", icon="stop", on_click=self.cancel_job).props("outline")
            self.train = ui.button("Train", icon="school", on_click=self.session.train)
        with ui.row().classes("problem panel").props('role="alert"') as self.problem:
            ui.icon("error_outline")
            self.problem_line = ui.label().classes("grow")
            ui.button("Close", on_click=self.close_problem).props("flat dense")

    def show(self) -> None:
        """Show what has changed since the last time."""
        session, job = self.session, self.session.job
        self.progress.visible = self.cancel.visible = job is not None
        if job is not None:
            self.line.set_text(job.line)
            self.progress.set_value(round(job.share, 3))
        if self._seen == session.version:
            return
        self._seen = session.version
        self.train.visible = job is None and not session.is_waiting
        self.train.set_enabled(len(set(session.project.state.labels().values())) >= 2)
        if job is None:
            self.line.set_text("Training: starting" if session.is_waiting else self.summary())
        self.problem.visible = bool(session.problem)
        self.problem_line.set_text(session.problem)
        title = session.project.undo_title
        self.undo.set_enabled(bool(title))
        self.undo.props["title"] = f"Undo: {title}" if title else "Nothing to undo"
        self.undo.update()
        self.redo.set_enabled(bool(session.project.redo_title))
        for part in self.parts:
            part.show()

    def summary(self) -> str:
        """The state of the project in one line."""
        state, learned = self.session.project.state, self.session.learned
        labels = state.labels()
        classes = len(set(labels.values()))
        if not labels:
            return "No photos yet: drop a folder per class below."
        counts = f"{len(labels)} photos in {classes} class{'es' if classes > 1 else ''}"
        if merged := sum(bool(one.file) and not one.photos for one in state.classes):
            counts += f", {merged} more without photos from a file"
        if learned is None:
            more = "Train to see how well it does." if classes > 1 else "Add a second class to train."
            return f"{counts}. {more}"
        accuracy = learned.review.comparison.get(learned.review.method)
        if accuracy is None:
            return f"{counts}, learned."
        new = len(labels.keys() - learned.review.left_out.keys())
        later = f" {new} photos came later and are learned too." if new and learned.review.left_out else ""
        if learned.is_behind(state):
            later = " What has changed since is not learned yet."
        return f"{counts}. {accuracy:.1f} % right by {learned.review.comparison_by}.{later}"

    def step(self, change: Callable[[], Any]) -> Any:
        """Make a change of the project; a mistake is a message. Its result, or False."""
        try:
            result = change()
        except (LammError, OSError) as error:
            ui.notify(str(error), type="negative", timeout=8000, close_button="Close")
            return False
        self.session.touch()
        self.show()
        return True if result is None else result

    def changed(self, text: str) -> None:
        """Say what a change did, with a button that undoes it."""
        with self.notes, ui.notification(text, timeout=6, position="bottom-left") as note:
            undo = ui.button("Undo", on_click=lambda: self.step(self.session.project.undo))
            undo.on_click(note.dismiss).props("flat dense color=white")

    async def compute(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for something that the session computes, and say so if it has to wait for something else."""
        if (job := self.session.job) is not None:
            ui.notify(f"This begins when it is done: {job.title}")
        return await work()

    def go_to(self, part: str) -> None:
        """Show another part."""
        self.tabs.set_value(part)

    def cancel_job(self) -> None:
        if self.session.job is not None:
            self.session.job.cancel()

    def close_problem(self) -> None:
        self.session.problem = ""
        self.session.version += 1
        self.show()

    def uploaded(self, answer: dict[str, Any]) -> None:
        """Say what became of photos that were sent."""
        parts = [f"{answer['added']} photo{'s' if answer['added'] != 1 else ''} added"] if answer["added"] else []
        parts += [f"{answer['known']} there already"] if answer["known"] else []
        if parts:
            ui.notify(", ".join(parts), type="positive")
        if answer["refused"]:
            lines = [str(line) for line in answer["reasons"]]
            more = f"\n… and {answer['refused'] - len(lines)} more" if answer["refused"] > len(lines) else ""
            self.session.problem = f"{answer['refused']} not taken: " + "; ".join(lines[:5]) + more
        self.session.touch()
        self.show()
