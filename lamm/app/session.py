"""An open project at work: one job at a time in a thread, so that the page never waits.

The classifier follows the project by itself: whatever changed (in any tab, or before a restart) is learned next.
Training anew, which also judges every photo, is asked for.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from nicegui import run

from lamm.app.knowledge import Knowledge
from lamm.app.learned import Answer, Learned
from lamm.app.project import Project
from lamm.errors import LammError
from lamm.log import logger

Result = TypeVar("Result")
PAUSE = 0.4
"""Seconds without a change before photos are looked at, so that an upload of many is looked at once."""
EARLY = 0.03
"""Share below which no time is said."""


class Cancelled(Exception):
    """The user has stopped a job."""


class Job:
    """What is being done: a title, the share that is done, what is being done, and since when."""

    def __init__(self, title: str) -> None:
        self.title, self.share, self.text = title, 0.0, ""
        self._start, self._cancelled = time.monotonic(), False

    def tell(self, share: float, text: str) -> None:
        """The progress; called in the job's thread.

        Raises:
            Cancelled: the user has stopped it.
        """
        if self._cancelled:
            raise Cancelled
        self.share, self.text = min(1.0, max(0.0, share)), text

    def cancel(self) -> None:
        """Have it end at its next step."""
        self._cancelled = True

    @property
    def line(self) -> str:
        """What is being done, and the time that is left."""
        text = "stopping" if self._cancelled else self.text
        line = f"{self.title}: {text}" if text else self.title
        spent = time.monotonic() - self._start
        if self.share < EARLY or spent < 1 or self._cancelled:
            return line
        left = spent * (1 - self.share) / self.share
        return f"{line} · {in_words(left)} left"


def in_words(seconds: float) -> str:
    """A duration to read: whole seconds, then minutes."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


class Session:
    """One open project.

    Args:
        project: the project.
        turn: held by what computes, in all projects.

    Attributes:
        learned: the classifier; None: nothing is trained yet.
        knowledge: what CLIP knows of the names; None: not known yet.
        answers: photo → what the classifier says, for the photos on the page "Try".
        job: what is being done now.
        problem: why the last job failed; "" if it did not.
        version: grows with every change of what the page shows.
    """

    def __init__(self, project: Project, turn: asyncio.Lock) -> None:
        self.project = project
        self.learned: Learned | None = None
        self.knowledge: Knowledge | None = None
        self.answers: dict[str, Answer] = {}
        self.job: Job | None = None
        self.problem = ""
        self.version = 1
        self._turn, self._wake = turn, asyncio.Event()
        self._train = self._loaded = False
        self._first: list[tuple[str, Callable[[Job], None]]] = []
        self._failed: dict[str, Any] = {}

    def touch(self) -> None:
        """Something has changed: have the page shown anew, and the work looked after."""
        self.version += 1
        self._wake.set()

    def train(self) -> None:
        """Learn everything anew, with folds."""
        self._train, self.problem = True, ""
        self._failed.clear()
        self.touch()

    def do_first(self, title: str, body: Callable[[Job], None]) -> None:
        """Do something before all else, such as making the example."""
        self._first.append((title, body))
        self.touch()

    @property
    def is_trained(self) -> bool:
        return self.learned is not None

    @property
    def is_waiting(self) -> bool:
        """Whether training was asked for and has not begun."""
        return self._train

    async def work(self) -> None:
        """Do what is to be done, until the task is cancelled."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._train:
                with suppress(asyncio.TimeoutError):  # more may come
                    await asyncio.wait_for(self._wake.wait(), PAUSE)
                    self._wake.set()
                    continue
            try:
                while await self._next():
                    pass
            except Exception as error:  # the page goes on, and says so
                logger.exception("the work on %s", self.project.folder)
                self.problem = f"Something went wrong ({type(error).__name__}); the terminal says more"
                self.version += 1

    async def _next(self) -> bool:
        """Do the most urgent job, if there is one; whether there was."""
        state = self.project.state
        if not self._loaded:
            self._loaded = True
            self.learned = await self._do("load", "Opening the classifier", lambda job: Learned.load(self.project))
        elif self._first:
            title, body = self._first.pop(0)
            await self._do("first", title, body)
        elif self._train:
            self._train = False
            trained = await self._do("train", "Training", lambda job: Learned.train(self.project, job.tell))
            if trained is not None:
                self.learned, self.answers = trained, {}
        elif self.learned is not None and self.learned.is_behind(state) and self._may("follow"):
            learned = self.learned
            await self._do("follow", "Learning what changed", lambda job: learned.follow(self.project, job.tell))
            if learned.is_behind(state):
                self._failed["follow"] = state  # not again before something changes
            self.answers = {}
        elif self.learned is not None and (files := self._unanswered()) and self._may("answer"):
            learned = self.learned
            said = await self._do("answer", "Looking at photos", lambda job: learned.predict(self.project, files))
            self.answers |= dict(zip(files, said or (), strict=False))
        elif self._asks_names() and self._may("names"):
            known = await self._do("names", "Asking CLIP", lambda job: Knowledge.ask(self.project, job.tell))
            self.knowledge = known or self.knowledge
        else:
            return False
        self.version += 1
        return True

    def _unanswered(self) -> list[str]:
        return [file for file in self.project.state.tried if file not in self.answers]

    def _asks_names(self) -> bool:
        labels = self.project.state.labels()
        names = {one: self.project.state.names()[one] for one in dict.fromkeys(labels.values())}
        if len(names) < 2:
            return False
        return self.knowledge is None or (self.knowledge.labels, self.knowledge.names) != (labels, names)

    def _may(self, what: str) -> bool:
        """Whether a job has not failed in this state already."""
        return self._failed.get(what) is not self.project.state

    async def _do(self, what: str, title: str, body: Callable[[Job], Result]) -> Result | None:
        """Run a job in a thread; None: it failed or was stopped."""
        async with self._turn:
            state, self.job = self.project.state, Job(title)
            self.version += 1
            try:
                return await run.io_bound(body, self.job)
            except Cancelled:
                self._failed[what] = state
            except (LammError, OSError) as error:
                self._failed[what], self.problem = state, f"{title}: {error}"
            except Exception as error:
                logger.exception("%s", title)
                self._failed[what] = state
                self.problem = f"{title} failed ({type(error).__name__}: {str(error)[:200]}); the terminal says more"
            finally:
                self.job = None
                self.version += 1
        return None

    async def try_name(self, class_id: str, name: str) -> Knowledge | None:
        """What CLIP would know if a class had another name; None: it failed, see `problem`."""
        names = {class_id: name}
        return await self._do("try", "Asking CLIP", lambda job: Knowledge.ask(self.project, job.tell, names))

    async def compute(self, title: str, body: Callable[[Job], Result]) -> Result | None:
        """Run something else in the session's turn, such as an export; None: it failed, see `problem`."""
        return await self._do("other", title, body)
