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
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from math import inf
from operator import attrgetter
from typing import Final

import attrs

from rml.ledger.draft import Draft
from rml.ledger.ledger import Ledger

# Beats in the length of a lease: one may fail, and the next one still comes in time.
BEATS: Final = 3

_log = logging.getLogger("rml")


@attrs.define(eq=False)
class Beat:
    """A running attempt, and when its lease is to be renewed next (monotonic seconds).

    ``held`` is when it was last known to be this attempt's, by the ledger's clock. A saga's lease
    is given on to who takes it over, under the same owner, so that it is lost shows by that alone.
    """

    ledger: Ledger
    effect: str
    owner: str
    lease: float
    is_alive: Callable[[], bool]
    due: float
    held: datetime

    def is_lost(self, now: datetime) -> bool:
        """Say whether the lease has run out since, whoever may have it by now."""
        return (now - self.held).total_seconds() >= self.lease

    @property
    def interval(self) -> float:
        """How long after one renewal the next one is due, in seconds."""
        return self.lease / BEATS


class Running:
    """The attempts that a process is carrying out."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Carry out nothing: at first, and in a forked child."""
        # Reentrant: the garbage collector may end an abandoned coroutine, and so its attempt, here.
        self._changed = threading.Condition(threading.RLock())
        self._beats: dict[str, Beat] = {}
        self._waiters: dict[str, list[Callable[[], object]]] = {}
        self._wakes_at: float | None = None  # when the watching thread looks next, if there is one

    def start(
        self, ledger: Ledger, effect: str, owner: str, lease: float, is_alive: Callable[[], bool]
    ) -> Beat:
        """Note an attempt, whose lease is renewed from now on while ``is_alive`` says so."""
        due = time.monotonic() + lease / BEATS
        beat = Beat(ledger, effect, owner, lease, is_alive, due, ledger.clock.now())
        with self._changed:
            self._beats[owner] = beat
            is_watched = self._wakes_at is not None
            if self._wakes_at is None or due < self._wakes_at:
                self._wakes_at = due
                self._changed.notify()
        if not is_watched:
            self._start_watching()
        return beat

    def holds(self, beat: Beat) -> bool:
        """Say whether an attempt still has the lease that it was noted with."""
        noted = self._beats.get(beat.owner) is beat
        return noted and not beat.is_lost(beat.ledger.clock.now())

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

    def _start_watching(self) -> None:
        """Begin to watch, without the lock: the garbage collector may end an attempt in any thread.

        In the new one too, before that says that it has begun.
        """
        if sys.is_finalizing():  # a thread would never come to run, and Python 3.11 waits for it
            return
        watch = threading.Thread(target=self._watch, name="rml-heartbeat", daemon=True)
        with suppress(RuntimeError):  # out of threads: without beats, a long attempt is doubted
            try:
                watch.start()
            except BaseException:
                self._wakes_at = None
                raise

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

    def _next(self) -> list[Beat]:
        """Sleep until attempts are due, and return them; none when nothing runs any more.

        It does not end before the moment at which it was to look, though nothing runs: one short
        call after the other would start a thread each.
        """
        with self._changed:
            while True:
                beats = list(self._beats.values())
                now = time.monotonic()
                due = [beat for beat in beats if beat.due <= now]
                for beat in due:
                    beat.due = inf  # until it has been renewed
                if due:
                    self._wakes_at = now
                    return due
                if beats:
                    self._wakes_at = min(beat.due for beat in beats)
                elif self._wakes_at is None or not now < self._wakes_at < inf:
                    self._wakes_at = None
                    return []
                self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))

    def _renew(self, ledger: Ledger, beats: list[Beat]) -> None:
        """Renew the leases of one ledger's attempts in one commit; forget those that are lost."""
        # In one order everywhere: a store may lock effect by effect.
        living = sorted((b for b in beats if b.is_alive()), key=attrgetter("effect"))

        now = ledger.clock.now()

        def lost(draft: Draft) -> list[Beat]:
            nonlocal now
            now = draft.now
            return [
                b for b in living if b.is_lost(now) or not draft.renew(b.effect, b.owner, b.lease)
            ]

        gone: list[Beat] = []
        try:
            if living:
                patience = min(ledger.timeout, *(beat.interval for beat in living))
                gone = ledger.write(lost, timeout=patience)
                for beat in living:
                    beat.held = beat.held if beat in gone else now
        except Exception as error:  # noqa: BLE001 - the next beat tries again, or the lease lapses
            kind = type(error).__name__
            _log.warning("%d leases could not be renewed in %r: %s", len(living), ledger, kind)
        with self._changed:
            for beat in beats:
                beat.due = time.monotonic() + beat.interval
            for beat in gone:
                if self._beats.get(beat.owner) is beat:
                    del self._beats[beat.owner]
            self._changed.notify()


running: Final = Running()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=running.begin_anew)
