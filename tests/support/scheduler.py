"""Threads of control of which one runs at a time, and what a schedule decides between two steps.

A task is a thread that only runs while it holds the baton. Where it says so, it pauses: the
schedule chooses who goes on, whether the clock is stepped, and whether the task dies there. Every
choice is a small number, 0 being the calm one: a schedule is a list of numbers, drawn from a seed,
and a shorter or a calmer list is a simpler schedule.
"""

import random
import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, Final, TypeVar

T = TypeVar("T")

HANGS_SECONDS: Final = 60.0
SWITCHES: Final = (0.05, 0.15, 0.5)


class Killed(BaseException):
    """Ends what a dead worker was doing."""


class Choices:
    """What a schedule decides: drawn from a seed, or taken from a list and then always calm."""

    def __init__(self, source: int | Sequence[int]) -> None:
        self.made: list[int] = []
        self._random = random.Random(source) if isinstance(source, int) else None
        self._given = () if isinstance(source, int) else source

    def chance(self, probability: float) -> bool:
        """Decide whether something rare happens."""
        if self._random is not None:
            return bool(self._took(int(self._random.random() < probability)))
        return bool(self._next(2))

    def pick(self, options: Sequence[T]) -> T:
        """Choose one; the first is the calm one."""
        if len(options) == 1:
            return options[0]
        if self._random is not None:
            return options[self._took(int(self._random.random() * len(options)))]
        return options[self._next(len(options))]

    def _next(self, limit: int) -> int:
        place = len(self.made)
        return self._took(self._given[place] % limit if place < len(self._given) else 0)

    def _took(self, choice: int) -> int:
        self.made.append(choice)
        return choice


class _Carrier:
    """A thread that carries out one task after another, so that a task costs no new thread."""

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.work: Callable[[], None] = lambda: None
        threading.Thread(target=self._carry, name="simulated", daemon=True).start()

    def _carry(self) -> None:
        while True:
            self.gate.acquire()
            self.work()


_idle: Final[list[_Carrier]] = []


class Task:
    """One thread of control."""

    def __init__(self, name: str, work: Callable[[], Any]) -> None:
        self.name = name
        self.work = work
        self.dead = False
        self.asleep = False
        self.error: BaseException | None = None
        self.carrier = _idle.pop() if _idle else _Carrier()


class Scheduler:
    """Runs tasks to their ends or deaths, one step of one of them at a time.

    Args:
        choices: who goes on, and who dies.
        between: called between two steps, such as to step a clock.
        deaths: how probable it is that a task dies at a pause.
    """

    def __init__(self, choices: Choices, between: Callable[[], None], deaths: float) -> None:
        # Where tasks rarely take turns, one may sleep through all that another does.
        self._switches = choices.pick(SWITCHES)
        self.current: Task | None = None
        self.trace: list[str] = []
        self._choices = choices
        self._between = between
        self._deaths = deaths
        self._tasks: list[Task] = []
        self._over = threading.Lock()

    def tell(self, what: str) -> None:
        """Take down what happened."""
        self.trace.append(f"{self.current.name if self.current else 'afterwards'}: {what}")

    def pause(self, where: str) -> None:
        """Let anything happen between this step of the running task and its next one.

        Raises:
            Killed: the running task is dead, or dies here.
        """
        task = self.current
        if task is None:
            return
        if task.dead:
            raise Killed
        self.tell(where)
        if self._choices.chance(self._deaths):
            task.dead = True
            self.tell("is killed")
            raise Killed
        self._between()
        others = self._awake(task)
        if others and (task.asleep or self._choices.chance(self._switches)):
            self._hand_to(self._choices.pick(others))
            task.carrier.gate.acquire()
        task.asleep = False

    def sleep(self, where: str) -> None:
        """Pause until nobody else can go on, or as good as: what takes long.

        Raises:
            Killed: the running task is dead, or dies here.
        """
        if self.current is not None:
            self.current.asleep = True
        self.pause(where)

    def _awake(self, but: Task) -> list[Task]:
        tasks = [task for task in self._tasks if task is not but]
        return [task for task in tasks if not task.asleep] or tasks

    def run(self, tasks: Sequence[Task]) -> None:
        """Run tasks until none is left."""
        self._tasks = list(tasks)
        for task in tasks:
            task.carrier.work = lambda task=task: self._carry_out(task)
        self._over.acquire()
        self._hand_to(self._choices.pick(self._tasks))
        if not self._over.acquire(timeout=HANGS_SECONDS):
            raise TimeoutError(f"a task hangs; the last steps were {self.trace[-5:]}")
        _idle.extend(task.carrier for task in tasks)

    def _carry_out(self, task: Task) -> None:
        try:
            Context().run(task.work)
        except BaseException as error:  # noqa: BLE001 - looked at when all is over
            task.error = error
        self._tasks.remove(task)
        if self._tasks:
            self._hand_to(self._choices.pick(self._awake(task)))
        else:
            self.current = None
            self._over.release()

    def _hand_to(self, task: Task) -> None:
        self.current = task
        task.carrier.gate.release()
