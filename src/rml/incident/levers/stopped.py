"""What became of each thing that was stopped for a case: how long it was quiet, and what broke it.

A containment is proven from all of them together. Each is told by itself too, so that people see
which lever holds, and what came through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from rml.incident.levers.stop import UNNAMED, Stop, Window, begins, to_second
from rml.ledger.entry import Entry

_NOTHING: Final = timedelta(0)


@attrs.frozen(kw_only=True)
class Stopped:
    """One thing that was stopped for a case.

    Attributes:
        stop: what, from which moment on, and by which entry.
        until: when it was let go on; ``None`` while it is stopped.
        quiet_since: since when nothing has begun, or had when it was let go on; ``None`` if
            something was still in flight then.
        quiet: how long that is, or was.
        proven: whether it is long enough, and nothing has broken it since.
        broken_by: the ids of what began although it was stopped, or happened again after it was let
            go on: effects, entries of your own, signals.
    """

    stop: Stop
    until: datetime | None = None
    quiet_since: datetime | None = None
    quiet: timedelta = _NOTHING
    proven: bool = False
    broken_by: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data; ``quiet`` is in seconds."""
        operation, tenant, region = self.stop.target
        return {
            "operation": operation or None,
            "tenant": tenant,
            "region": region,
            "by": self.stop.by,
            "since": self.stop.at,
            "until": self.until,
            "quiet_since": self.quiet_since,
            "quiet": self.quiet.total_seconds(),
            "proven": self.proven,
            "broken_by": list(self.broken_by),
        }

    def __str__(self) -> str:
        """Say what is stopped since when, and what came of it, in one sentence."""
        since = to_second(self.stop.at)
        if self.until is None:
            text = f"{self.stop.what} is stopped since {since}"
        else:
            text = f"{self.stop.what} was stopped from {since} to {to_second(self.until)}"
        if self.quiet_since is None:
            return f"{text}; it was let go on while something was in flight"
        text += f"; nothing began for {timedelta(seconds=int(self.quiet.total_seconds()))}"
        broken = f", broken by {', '.join(self.broken_by)}" if self.broken_by else ""
        return f"{text}{', which proves it' if self.proven else ''}{broken}"


def despite(stop: Stop, entries: Iterable[Entry], signals: Iterable[Entry]) -> list[Entry]:
    """Return what began although it was stopped.

    Args:
        stop: what was stopped.
        entries: what has been recorded since, of its operation at least.
        signals: those of the case; they count where it names no operation.
    """
    if stop.operation == UNNAMED:
        return [entry for entry in signals if stop.is_before(entry)]
    begun = (entry for entry in entries if begins(entry))
    return [entry for entry in begun if stop.is_before(entry) and stop.concerns(entry)]


def still_stopped(
    stop: Stop, begun: Sequence[Entry], now: datetime, quiet: timedelta, *, in_flight: bool
) -> Stopped:
    """Return where something stands that is stopped at this moment.

    Args:
        stop: what is stopped.
        begun: what began all the same.
        now: the present moment, by the ledger's clock.
        quiet: how long nothing may have begun.
        in_flight: whether something of it began before and has not ended.
    """
    since = max([stop.at, *(entry.recorded_at for entry in begun)])
    took = max(_NOTHING, now - since)
    return Stopped(
        stop=stop,
        quiet_since=since,
        quiet=took,
        proven=took >= quiet and not in_flight,
        broken_by=ids_of(begun),
    )


def let_go(window: Window, later: Iterable[Entry], quiet: timedelta) -> Stopped:
    """Return what came of something that was quiet when it was let go on.

    Args:
        window: the while in which nothing began.
        later: what may have broken it.
        quiet: how long nothing may have begun.
    """
    enough = window.until - window.since >= quiet
    broken = ids_of(entry for entry in later if window.is_broken_by(entry)) if enough else ()
    return Stopped(
        stop=window.stop,
        until=window.until,
        quiet_since=window.since,
        quiet=window.until - window.since,
        proven=enough and not broken,
        broken_by=broken,
    )


def ids_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the ids by which people know entries: those of their effects, if they have one."""
    return tuple(dict.fromkeys(entry.effect or entry.id for entry in entries))
