"""Which attempts this process is carrying out: their leases are renewed, their end wakes waiters.

A handler that takes longer than its lease is slow, not dead. While its thread or its event loop
lives, its lease is renewed at a third of its length, counted by the ledger's clock. A beat never
brings a lost lease back: in the commit that would renew it, it must still be this owner's and must
not have run out. So a process that was suspended, or a ledger that could not be written to for too
long, leads to doubt, and never to a second run.

One thread watches over all ledgers; what a beat writes is written in a thread of its own, so that a
ledger that is stuck holds up no other. An attempt that ends within a third of its lease is only
noted. A forked child carries out nothing of what its parent began.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import Final

import attrs

from rml.ledger.draft import Draft
from rml.ledger.ledger import Ledger

# Beats in the length of a lease: one may fail, and the next one still comes in time.
BEATS: Final = 3

_log = logging.getLogger("rml")


@attrs.define(eq=False)
class _Beat:
    """A running attempt, and when its lease is to be renewed next (monotonic seconds)."""

    ledger: Ledger
    effect: str
    owner: str
    lease: float
    is_alive: Callable[[], bool]
    due: float

    @property
    def interval(self) -> float:
        return self.lease / BEATS


class Running:
    """The attempts that a process is carrying out."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Carry out nothing: at first, and in a forked child."""
        # Reentrant: the garbage collector may end an abandoned coroutine, and so its attempt, here.
        self._changed = threading.Condition(threading.RLock())
        self._beats: dict[str, _Beat] = {}
        self._waiters: dict[str, list[Callable[[], object]]] = {}
        self._wakes_at: float | None = None  # when the watching thread looks next, if there is one

    def start(
        self, ledger: Ledger, effect: str, owner: str, lease: float, is_alive: Callable[[], bool]
    ) -> None:
        """Note an attempt, whose lease is renewed from now on while ``is_alive`` says so."""
        due = time.monotonic() + lease / BEATS
        with self._changed:
            self._beats[owner] = _Beat(ledger, effect, owner, lease, is_alive, due)
            if self._wakes_at is None:
                self._start_watching(due)
            elif due < self._wakes_at:
                self._changed.notify()

    def end(self, effect: str, owner: str) -> None:
        """Forget an attempt, whose outcome is recorded or could not be, and wake its waiters."""
        self._beats.pop(owner, None)
        if self._waiters:
            with self._changed:
                wakes = self._waiters.pop(effect, [])
            for wake in wakes:
                wake()

    def wait(self, effect: str, seconds: float) -> None:
        """Sleep until an attempt at an effect ends in this process, or some seconds have passed."""
        ended = threading.Event()
        with self.waking(effect, ended.set):
            ended.wait(seconds)

    @contextmanager
    def waking(self, effect: str, wake: Callable[[], object]) -> Iterator[None]:
        """Have a function called, from any thread, when an attempt at an effect ends."""
        with self._changed:
            self._waiters.setdefault(effect, []).append(wake)
        try:
            yield
        finally:
            with self._changed, suppress(ValueError):
                waiting = self._waiters.get(effect, [])
                waiting.remove(wake)
                if not waiting:
                    del self._waiters[effect]

    def _start_watching(self, due: float) -> None:
        watch = threading.Thread(target=self._watch, name="rml-heartbeat", daemon=True)
        with suppress(RuntimeError):  # out of threads: without beats, a long attempt is doubted
            watch.start()
            self._wakes_at = due

    def _watch(self) -> None:
        while beats := self._next():
            for ledger in {id(beat.ledger): beat.ledger for beat in beats}.values():
                own = [beat for beat in beats if beat.ledger is ledger]
                renewal = threading.Thread(
                    target=self._renew, args=(ledger, own), name="rml-heartbeat-write", daemon=True
                )
                try:
                    renewal.start()
                except RuntimeError:  # out of threads: here then, whatever it holds up
                    self._renew(ledger, own)

    def _next(self) -> list[_Beat]:
        """Sleep until attempts are due, and return them; none when nothing runs any more."""
        with self._changed:
            while True:
                beats = list(self._beats.values())
                now = time.monotonic()
                due = [beat for beat in beats if beat.due <= now]
                for beat in due:
                    beat.due = float("inf")  # until it has been renewed
                if due or not beats:
                    self._wakes_at = now if due else None
                    return due
                self._wakes_at = min(beat.due for beat in beats)
                self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))

    def _renew(self, ledger: Ledger, beats: list[_Beat]) -> None:
        """Renew the leases of one ledger's attempts in one commit; forget those that are lost."""
        # In one order everywhere: a store may lock effect by effect.
        living = sorted((b for b in beats if b.is_alive()), key=attrgetter("effect"))

        def lost(draft: Draft) -> list[_Beat]:
            return [b for b in living if not draft.renew(b.effect, b.owner, b.lease)]

        gone: list[_Beat] = []
        try:
            if living:
                patience = min(ledger.timeout, *(beat.interval for beat in living))
                gone = ledger.write(lost, timeout=patience)
        except Exception as error:  # noqa: BLE001 - the next beat tries again, or the lease lapses
            kind = type(error).__name__
            _log.warning("%d leases could not be renewed in %r: %s", len(living), ledger, kind)
        with self._changed:
            for beat in beats:
                beat.due = time.monotonic() + beat.interval
            for beat in gone:
                self._beats.pop(beat.owner, None)
            self._changed.notify()


running: Final = Running()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=running.begin_anew)
