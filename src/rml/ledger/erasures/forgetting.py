"""How a ledger forgets what is kept beside its entries: by field, by subject, by age.

Removing many values takes many small commits. Each is complete in itself, so a run that was
interrupted is finished by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Final

from rml.clock import utc_text
from rml.codec import plain
from rml.error import InvalidInputError
from rml.ledger.argument import check_progress, listed
from rml.ledger.content import check_aware
from rml.ledger.corrections.pending import ENDS, OPENED, still_open
from rml.ledger.draft import Draft, Receipt
from rml.ledger.entry import Entry, check_text
from rml.ledger.erasures.erasure import Erased, Removal, erase, erase_all
from rml.ledger.erasures.pruning import prune, record
from rml.ledger.erasures.retention import ERASED, PRUNED, Pruned
from rml.ledger.errors import UnknownIdError
from rml.ledger.queries.asking import LedgerAnswers
from rml.ledger.store import Query
from rml.ledger.writing import LedgerWriting
from rml.tag import shown

Progress = Callable[[int, int], None]

# How many entries are changed in one commit: other writers wait for no more than that.
REMOVED_AT_ONCE: Final = 100
# How many entries are looked at between two reports of progress.
PROGRESS_ENTRIES: Final = 1_000


class LedgerForgetting(LedgerAnswers, LedgerWriting):
    """The erasures of a :class:`rml.Ledger`."""

    def erase(self, entry_id: str, fields: Sequence[str], *, by: str, reason: str) -> Receipt:
        """Remove personal fields for good and record who did it and why; all proofs stay valid.

        What is gone already is not recorded again: the receipt is that of the entry that says so.

        Args:
            entry_id: an entry's id, or an effect's: then of all its entries that have the fields.
            fields: the names to erase, as in the entry's ``commitments``.
            by: who erases.
            reason: on what request or law.

        Raises:
            UnknownIdError: there is no such entry or effect.
            InvalidInputError: there is no such erasable field.
        """
        check_text("entry_id", entry_id)
        check_text("by", by)
        check_text("reason", reason)
        names = [check_text("a name in fields", name) for name in listed(fields)]
        receipt = self.write(lambda draft: erase(draft, entry_id, names, by, reason))
        self._store.scrub()
        return receipt

    def erase_subject(
        self,
        fact: str,
        value: Any,
        *,
        by: str,
        reason: str,
        fields: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Removal:
        """Remove the personal fields of all entries about one subject, each with its own record.

        These are the entries among whose facts the value stands under this name, and all entries
        of the effects and pendings that one of them belongs to. An effect in flight, in doubt or
        retrying keeps its request fingerprint, without which it could not be ended; run this again
        when it has. What is recorded while this runs is left for the next run, too.

        After an interrupt, run it again: what was done stays done.

        Args:
            fact: the name of a fact, such as ``customer_id``.
            value: its value, of the type that was recorded.
            by: who erases.
            reason: on what request or law; in clear for ever.
            fields: only these fields; all of them, if not given.
            progress: called with (entries looked at, entries in all) now and then.

        Raises:
            InvalidInputError: a value is missing or of the wrong type.
            LedgerBusyError: other writers kept the ledger busy; run it again.
        """
        check_text("fact", fact)
        check_text("by", by)
        check_text("reason", reason)
        check_progress(progress)
        wanted = plain(value, "value")
        names = None
        if fields is not None:
            names = frozenset(check_text("a name in fields", name) for name in listed(fields))
        query = Query(before=self._store.head().size)
        about = self._about(self._reported(query, progress), fact, wanted)
        return self._remove(about, partial(erase_all, names=names, by=by, reason=reason))

    def prune(
        self,
        before: int | datetime,
        *,
        by: str,
        reason: str,
        progress: Progress | None = None,
    ) -> Removal:
        """Remove all that is kept beside old entries, recorded by one entry; all proofs stay valid.

        Effects in flight, in doubt or retrying, and what is pending, keep theirs; a later pruning
        removes it. An effect that is done stays done, and its result cannot be given again.

        After an interrupt, run it again: nothing is recorded twice.

        Args:
            before: an index: everything below it; or a moment: everything below the first entry
                that was recorded then or later, and not one yet to come. What was pruned before
                stays so.
            by: who prunes.
            reason: by what rule; in clear for ever.
            progress: called with (entries looked at, entries below the index) now and then.

        Raises:
            InvalidInputError: there is no such index, or a value is missing or of the wrong type.
            LimitError: more than 1,000 effects and pendings below it have not ended.
            LedgerBusyError: other writers kept the ledger busy; run it again.
        """
        check_text("by", by)
        check_text("reason", reason)
        check_progress(progress)
        below = self._index(before)
        openings = still_open(self._store.select, Query(kind=OPENED, before=below))
        pending = [(opened.index or 0, opened.id) for opened in openings]
        pruned = self.write(lambda draft: record(draft, below, pending, by, reason))
        if pruned is None:
            return Removal(entries=0, fields=0, kept=(), below=0)
        query = Query(before=pruned.below, with_personal=True)
        old = (entry for entry in self._reported(query, progress) if pruned.covers(entry))
        done = self._remove(old, prune)
        kept = tuple(sorted(pruned.kept))
        return Removal(entries=done.entries, fields=done.fields, kept=kept, below=pruned.below)

    def erasures(self, entry_id: str) -> dict[str, Erased]:
        """Return when, by whom and why each personal field of an entry was removed, by its name.

        Raises:
            UnknownIdError: there is no such entry; of an effect, ask for each of its entries.
        """
        try:
            entry = self._recorded(entry_id)
        except UnknownIdError:
            if not self._store.effect(entry_id)[0]:
                raise
            each = f"ask for each entry of ledger.entries(effect={entry_id!r})"
            raise UnknownIdError(f"{entry_id} is an effect; {each}") from None
        gone, found = entry.erased(), dict[str, Erased]()
        if gone:
            for erasing in self._store.select(Query(kind=ERASED, corrects=entry.id)):
                for name in erasing.facts.get("fields", ()):
                    found.setdefault(name, Erased.by_entry(erasing))
        if not found.keys() >= set(gone):
            for pruning in self._store.select(Query(kind=PRUNED)):
                pruned = Pruned.by(pruning)
                if pruned is not None and pruned.covers(entry):
                    found = dict.fromkeys(gone, Erased.by_entry(pruning)) | found
                    break
        return {name: found[name] for name in gone if name in found}

    def _remove(
        self, entries: Iterator[Entry], work: Callable[[list[Entry], Draft], Removal]
    ) -> Removal:
        """Remove in steps, and leave no copy of what was removed, not even of an earlier run."""
        found, removed, kept = 0, 0, dict[str, None]()
        while batch := list(islice(entries, REMOVED_AT_ONCE)):
            done = self.write(partial(work, batch))
            found, removed = found + done.entries, removed + done.fields
            kept |= dict.fromkeys(done.kept)
        self._store.scrub()
        return Removal(entries=found, fields=removed, kept=tuple(kept))

    def _reported(self, query: Query, progress: Progress | None) -> Iterator[Entry]:
        """Yield the entries that match, and report how far the ledger has been looked at."""
        size = query.before or 0
        for entry in self._store.select(query):
            yield entry
            looked = (entry.index or 0) + 1
            if progress is not None and looked % PROGRESS_ENTRIES == 0:
                progress(looked, size)
        if progress is not None:
            progress(size, size)

    def _about(self, entries: Iterable[Entry], fact: str, wanted: object) -> Iterator[Entry]:
        """Yield the entries whose fact has a value, and those of their effects and pendings."""
        for entry in entries:
            told = entry.facts.get(fact)
            if fact not in entry.facts or type(told) is not type(wanted) or told != wanted:
                continue
            if entry.effect is not None:
                yield from self._store.effect(entry.effect)[0]
            else:
                yield entry
            if entry.kind == OPENED:
                ends = self._store.select(Query(corrects=entry.id))
                yield from (end for end in ends if end.kind in ENDS)

    def _index(self, before: object) -> int:
        """Return the index below which entries are pruned."""
        size = self._store.head().size
        if isinstance(before, datetime):
            moment = utc_text(check_aware("before", before))
            if moment > utc_text(self.clock.now()):
                raise InvalidInputError(
                    f"before is a moment yet to come, {moment}; give an index to prune everything"
                )
            later = self._store.select(Query(since=moment, before=size, limit=1))
            return next((entry.index or 0 for entry in later), size)
        if type(before) is int and 0 <= before <= size:
            return before
        raise InvalidInputError(
            f"before must be a moment, or an index from 0 to {size}, not {shown(before)}"
        )
