"""Whether each effect that has not ended has its lease: a doubt without one is on nobody's list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rml.clock import parse_utc
from rml.effect.state import lease_due
from rml.error import RmlError
from rml.ledger.checks.verification import Problem
from rml.ledger.entry import Entry
from rml.ledger.store import Lease, Step, Verifiable

# How often an effect is looked at again while its entries change under the look.
LOOKS_MAX: Final = 10

Due = tuple[int, str]
"""The attempt and the owner of a lease."""


class Leases:
    """The leases that are due, told by the entries of effects in index order, and those there are.

    What differs may have changed since; it is looked at again, by the entries' bytes.
    """

    def __init__(self, store: Verifiable) -> None:
        self._store = store
        self._due: dict[str, Due] = {}

    def note(self, step: Step | Entry) -> None:
        """Note what an entry changes."""
        if step.effect is None:
            return
        due = lease_due(step, self._due.pop(step.effect, None))
        if due is not None:
            self._due[step.effect] = due

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for each effect whose lease is not the one that is due."""
        try:
            leases = {lease.effect: lease for lease in self._store.leases()}
            for effect in sorted(self._due.keys() | leases.keys()):
                if _differ(self._due.get(effect), leases.get(effect)) is not None:
                    detail = self._look_again(effect)
                    if detail is not None:
                        yield Problem("lease", f"the effect {effect!a:.80} {detail}")
        except RmlError as error:
            yield Problem("lease", f"the leases cannot be read: {error}")

    def _look_again(self, effect: str) -> str | None:
        entries, lease = self._look(effect)
        for _ in range(LOOKS_MAX):
            seen, found = len(entries), lease
            entries, lease = self._look(effect)
            if (len(entries), lease) == (seen, found):  # so both are of one moment
                due: Due | None = None
                for entry in entries:
                    due = lease_due(entry, due)
                return _differ(due, lease)
        return None

    def _look(self, effect: str) -> tuple[list[Entry], Lease | None]:
        """Return an effect's entries and its lease, also if it has no entries."""
        entries, lease = self._store.effect(effect)
        if not entries:
            lease = next((one for one in self._store.leases() if one.effect == effect), None)
        return entries, lease


def _differ(due: Due | None, lease: Lease | None) -> str | None:
    """Say how a lease differs from what is due, if it does."""
    if due is None:
        return None if lease is None else "has a lease, but nothing is open"
    if lease is None:
        return "has not ended, but its lease is gone, so that nobody is told of it"
    try:
        parse_utc(lease.until)
    except ValueError:
        return "has a lease until no time at all"
    return None if due == (lease.attempt, lease.owner) else "has a lease of another attempt"
