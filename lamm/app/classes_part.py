"""The part "Photos": classes, their photos, and what CLIP knows of their names."""

from typing import TYPE_CHECKING

from nicegui import ui

from lamm.app.elements import PhotoGrid, PhotoInput
from lamm.app.knowledge import Knowledge
from lamm.app.state import PhotoClass, clean_name
from lamm.errors import LammError

if TYPE_CHECKING:
    from lamm.app.page import ProjectPage

SHOWN = 2
"""Names that a class is taken for, in its line."""


class ClassesPart:
    """A place to drop folders, and a card per class."""

    def __init__(self, page: "ProjectPage") -> None:
        self.page, self.cards = page, dict[str, ClassCard]()
        self.drop = PhotoInput(
            f"{page.base}/photo",
            page.uploaded,
            loose="new class",
            label="Drop folders of photos here",
            hint="One folder per class: its name is the class name. Photos without a folder make a new class.",
            folders=True,
        )
        with ui.row().classes("wrap new-class"):
            self.name = ui.input("New class").props("outlined dense")
            self.name.on("keydown.enter", self.add)
            ui.button("Add class", icon="add", on_click=self.add).props("outline")
        self.empty = ui.label("No class yet. Drop folders above, or give a class a name and add photos to it.")
        self.empty.classes("empty quiet")
        self.place = ui.element("div").classes("cards")

    def add(self) -> None:
        project = self.page.session.project
        if self.page.step(lambda: project.add_class(self.name.value or "")):
            self.name.set_value("")

    def show(self) -> None:
        """Show the classes as they are now."""
        state = self.page.session.project.state
        self.empty.visible = not state.classes
        present = {one.id for one in state.classes}
        for class_id in [one for one in self.cards if one not in present]:
            self.cards.pop(class_id).card.delete()
        for number, one in enumerate(state.classes):
            if one.id not in self.cards:
                with self.place:
                    self.cards[one.id] = ClassCard(self.page, one)
                self.cards[one.id].card.move(target_index=number)
            self.cards[one.id].show(one, self.page.session.knowledge)


class ClassCard:
    """One class."""

    def __init__(self, page: "ProjectPage", one: PhotoClass) -> None:
        self.page, self.id, self.class_name = page, one.id, one.name
        with ui.card().classes("panel class-card") as self.card:
            with ui.row().classes("class-head"):
                self.name = (
                    ui.input(value=one.name).props('dense borderless aria-label="Class name"').classes("class-name")
                )
                self.name.on("keydown.enter", self.rename).on("blur", self.rename)
                self.count = ui.label().classes("quiet nowrap")
                remove = ui.button(icon="delete_outline", on_click=self.remove)
                remove.props('flat round dense aria-label="Remove class" title="Remove class"')
            with ui.row().classes("knowledge") as self.known:
                self.known_line = ui.label().classes("grow")
                ui.button("Try another name", on_click=self.try_names).props("flat dense no-caps")
            self.grid = PhotoGrid(page.base, [], page.photo.open)
            PhotoInput(
                f"{page.base}/photo", page.uploaded, into=one.id, label=f"Add photos to {one.name}", zone=".class-card"
            )

    def show(self, one: PhotoClass, knowledge: Knowledge | None) -> None:
        """Show the class as it is now."""
        if one.name != self.class_name:
            self.class_name = one.name
            self.name.set_value(one.name)
        count = len(one.photos)
        self.count.set_text(f"{count} photo{'s' if count != 1 else ''}" if count or not one.file else "from a file")
        self.grid.show([{"file": file, "title": name} for file, name in one.photos.items()])
        self.known.visible = knowledge is not None and knowledge.names.get(one.id) == one.name and count > 0
        if self.known.visible and knowledge is not None:
            right, total, _ = knowledge.of_class(one.id)
            self.known_line.set_text(name_line(knowledge, one.id))
            self.known.classes(
                replace=f"knowledge {'good' if right >= 0.8 * total else 'fair' if 2 * right >= total else 'poor'}"
            )

    def rename(self) -> None:
        new = self.name.value or ""
        if new != self.class_name and not self.page.step(lambda: self.page.session.project.rename(self.id, new)):
            self.name.set_value(self.class_name)

    def remove(self) -> None:
        project = self.page.session.project
        if self.page.step(lambda: project.remove(self.id)):
            self.page.changed(project.undo_title)

    def try_names(self) -> None:
        NameDialog(self.page, self.id, self.class_name)


def name_line(knowledge: Knowledge, class_id: str) -> str:
    """What CLIP knows of one name, in a line."""
    right, total, others = knowledge.of_class(class_id)
    line = f"By its name alone CLIP gets {right} of {total}"
    if others:
        line += ", takes others for " + ", ".join(f"“{name}” ({count})" for name, count in others[:SHOWN])
    return line


class NameDialog:
    """Tries other names for a class: what would CLIP know by each?"""

    def __init__(self, page: "ProjectPage", class_id: str, name: str) -> None:
        self.page, self.id, self.tried = page, class_id, dict[str, str]()
        with ui.dialog(value=True) as self.dialog, ui.card().classes("name-dialog"):
            ui.label(f"Another name for “{name}”").classes("heading")
            ui.label(
                "CLIP reads the name. A name that says what is to be seen helps it before any training. "
                "The name is also what the classifier will answer."
            ).classes("quiet")
            with ui.row().classes("wrap"):
                self.input = ui.input("Name to try").props("outlined dense autofocus")
                self.input.on("keydown.enter", self.ask)
                self.button = ui.button("Try", on_click=self.ask)
            self.results = ui.column().classes("grow")
            known = page.session.knowledge
            if known is not None and class_id in known.names:
                with self.results:
                    ui.label(f"Now, “{name}”: {name_line(known, class_id)}; all classes {known.accuracy:.0f} %.")
            ui.button("Close", on_click=self.dialog.close).props("flat")
        self.dialog.on("hide", self.dialog.delete)

    async def ask(self) -> None:
        try:
            name = clean_name(self.input.value or "")
        except LammError as error:
            ui.notify(str(error), type="negative")
            return
        self.button.disable()
        known = await self.page.compute(lambda: self.page.session.try_name(self.id, name))
        self.button.enable()
        if known is None:
            ui.notify(self.page.session.problem or "That was stopped", type="negative")
            return
        with self.results, ui.row().classes("wrap tried-name"):
            ui.label(f"“{name}”: {name_line(known, self.id)}; all classes {known.accuracy:.0f} %.").classes("grow")
            ui.button("Use this name", on_click=lambda: self.use(name)).props("dense outline")

    def use(self, name: str) -> None:
        if self.page.step(lambda: self.page.session.project.rename(self.id, name)):
            self.dialog.close()
