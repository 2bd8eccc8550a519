"""What a ledger states about its own tree: checkpoints, signed where it has a key, and proofs.

Nothing is stated that does not follow from the stored hashes: every proof is checked before it is
handed out, and a checkpoint is signed only if it continues the last one that was signed here and
the last one that each anchor keeps. The first memory is this process's own; the second outlives it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

from rml.error import InvalidInputError
from rml.ledger.anchors.anchor import ProveFrom
from rml.ledger.anchors.anchoring import Anchors, Answers, NewerKeptError, contradicted
from rml.ledger.anchors.kept import check_signer, contradiction, is_unknown, read_kept
from rml.ledger.checks.verification import Problem
from rml.ledger.entry import Entry, leaf_hash
from rml.ledger.errors import ProofError
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.proofs.cosignature import Trust
from rml.ledger.proofs.merkle import (
    consistency_hashes,
    inclusion_hashes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from rml.ledger.proofs.note import Keys, SignerKey
from rml.ledger.proofs.proof import ConsistencyProof, InclusionProof
from rml.ledger.store import Store
from rml.ledger.tree import EMPTY_ROOT

_log = logging.getLogger("rml")


@attrs.frozen
class Evidence:
    """What a verification is held against: whose signatures count, what was kept, where to begin.

    ``start`` is what the reader has verified earlier, unless the ledger is shorter now.
    """

    trust: Trust
    answers: Answers
    start: Checkpoint | None = None


class Notary:
    """See the module. The key's name is the ledger's origin, as whoever opened it has checked.

    Raises:
        LedgerCorruptError: the ledger contradicts what an anchor keeps.
        InvalidInputError: an anchor keeps something else than a checkpoint of this ledger.
        SignatureError: an anchor keeps a signature of this key that does not fit.
    """

    def __init__(
        self, store: Store, signer: SignerKey | None, anchors: Anchors | None = None
    ) -> None:
        self._store = store
        self._signer = signer
        self._last = Checkpoint(store.origin, 0, EMPTY_ROOT)
        self.anchors: Anchors = anchors or Anchors()
        if self.anchors.anchors:
            self._ask_at_opening()

    @property
    def trust(self) -> Trust:
        """Whose signatures count without anybody saying so: the ledger's own key, its witnesses."""
        keys = () if self._signer is None else (self._signer.verifier,)
        return Trust(keys=keys) | self.anchors.trust

    def signed_nothing(self) -> str | None:
        """Return a signed checkpoint of no entries, which is true of every state of the ledger."""
        nothing = Checkpoint(self._store.origin, 0, EMPTY_ROOT)
        return None if self._signer is None else nothing.signed(self._signer).to_text()

    def checkpoint(self) -> str:
        """Return the present checkpoint, signed where there is a key and kept by every anchor."""
        now = self._checked()
        text = self._signed(now)
        return self.anchors.keep(text, self._prove_from(now, text))

    def prove(self, entry: Entry, size: int | None = None) -> InclusionProof:
        """Return the proof that an entry is in the ledger as it is now, or was at a size."""
        assert entry.index is not None, "an entry is proved once it has been sealed"
        now = self.head() if size is None else self._past(size, entry.index + 1)
        with _own_tree():
            hashes = inclusion_hashes(entry.index, now.size, self._store.hashes)
            leaf = leaf_hash(entry.to_bytes())
            verify_inclusion(entry.index, now.size, leaf, hashes, now.root)
        text = self._state(now)
        return InclusionProof(index=entry.index, hashes=tuple(hashes), checkpoint=text)

    def _past(self, size: int, least: int) -> Checkpoint:
        """Return the checkpoint of a size.

        Raises:
            InvalidInputError: the ledger has never had this size, or it is too small.
        """
        told: object = size
        most = self.head().size
        if not (type(told) is int and least <= told <= most):
            way_out = f"give a number of entries from {least} to {most}"
            raise InvalidInputError.about("size", size, way_out)
        return self._at(size)

    def prove_consistency(self, old_size: int, new_size: int | None) -> ConsistencyProof:
        """Return the proof that the ledger of the new size continues that of the old size."""
        now = self.head()
        newer = now.size if new_size is None else new_size
        for name, size, limit in (("new_size", newer, now.size), ("old_size", old_size, newer)):
            told: object = size
            if not (type(told) is int and 0 <= told <= limit):
                raise InvalidInputError.about(
                    name, size, f"give a number of entries from 0 to {limit}"
                )
        after = now if newer == now.size else self._at(newer)
        hashes = self._continued(self._at(old_size), after)
        text = self._state(after)
        return ConsistencyProof(old_size=old_size, hashes=tuple(hashes), checkpoint=text)

    def evidence(self, keys: Keys, checkpoints: object, since: Checkpoint | str | None) -> Evidence:
        """Return what a verification is to be held against; it is gathered before the head is read.

        Raises:
            InvalidInputError: a key or checkpoint cannot be read, or is of another ledger.
            SignatureError: a checkpoint is signed, and not by a trusted key.
        """
        origin = self._store.origin
        texts, others = _parted(checkpoints)
        anchors = self.anchors.and_also(others)
        trust = Trust.of(origin, keys) | self.trust | anchors.trust
        given = [read_kept(t, "the checkpoint given", origin=origin, trust=trust) for t in texts]
        signed = [kept.note.to_text() for kept in given if kept.note is not None]
        answers = anchors.ask(origin, trust)
        for kept in (*answers.kept, *given):
            check_signer(kept, trust)
        shown = answers.newest_signed() or (signed[-1] if signed else self.signed_nothing())
        seen = anchors.ask_witnesses(origin, trust, shown)
        answers.kept += [*seen.kept, *given]
        answers.problems += seen.problems
        answers.unreached += seen.unreached
        start = None
        if since is not None:
            where = "the checkpoint of the last verification"
            kept = read_kept(_text(since), where, origin=origin, trust=trust)
            check_signer(kept, trust)
            answers.kept.append(kept)
            if kept.root is not None and kept.size <= self._store.head().size:
                start = Checkpoint(origin, kept.size, kept.root)
        return Evidence(trust, answers, start)

    def _ask_at_opening(self) -> None:
        """Refuse what an anchor contradicts; anything less is a warning.

        A witness's word is one as well: what it says of sizes it does not sign, and whoever stands
        between could say it in its name.
        """
        origin, trust = self._store.origin, self.trust
        answers = self.anchors.ask(origin, trust)
        self._check(answers)
        signed = answers.newest_signed() or self.signed_nothing()
        seen = self.anchors.ask_witnesses(origin, trust, signed)
        for trouble in (*answers.unreached, *seen.unreached):
            _log.warning("the ledger is opened without asking every anchor: %s", trouble)
        for kept in answers.kept:
            if is_unknown(kept, trust):
                _log.warning(
                    "%s agrees with the ledger, and is signed by none of the trusted keys; the "
                    "next checkpoint takes its place",
                    kept.where,
                )
        for problem in (*seen.problems, *self._contradictions(seen, self.head())):
            _log.warning("a witness contradicts the ledger; run `rml verify`: %s", problem.detail)

    def _checked(self) -> Checkpoint:
        """Return the present checkpoint, once no anchor speaks against it."""
        return self._check(self.anchors.ask(self._store.origin, self.trust))

    def _check(self, answers: Answers) -> Checkpoint:
        """Return the present checkpoint; it is read after what was kept, or it would be older."""
        now = self.head()
        for problem in self._contradictions(answers, now):
            raise contradicted(problem.detail)
        return now

    def _contradictions(self, answers: Answers, now: Checkpoint) -> list[Problem]:
        with _own_tree():
            found = [contradiction(kept, now, self._store.hashes) for kept in answers.kept]
        return [problem for problem in found if problem is not None]

    def head(self) -> Checkpoint:
        """Return what the store says that it holds."""
        head = self._store.head()
        try:
            return Checkpoint(self._store.origin, head.size, head.root)
        except InvalidInputError as error:
            raise contradicted(str(error)) from error

    def _at(self, size: int) -> Checkpoint:
        with _own_tree():
            root = tree_root(size, self._store.hashes)
        return Checkpoint(self._store.origin, size, root)

    def _state(self, checkpoint: Checkpoint) -> str:
        """Return a checkpoint's text; the anchors are asked before a larger tree is signed."""
        if self._signer is not None and checkpoint.size > self._last.size:
            self._checked()
        return self._signed(checkpoint)

    def _signed(self, checkpoint: Checkpoint) -> str:
        """Return a checkpoint's text; sign it only if it agrees with the largest signed so far."""
        if self._signer is None:
            return checkpoint.to_text()
        if checkpoint != self._last:
            older, newer = sorted((self._last, checkpoint), key=lambda one: one.size)
            self._continued(older, newer)
            if self._at(checkpoint.size) != checkpoint:
                raise contradicted("the head's root does not follow from the stored hashes")
            self._last = newer
        return checkpoint.signed(self._signer).to_text()

    def _prove_from(self, now: Checkpoint, text: str) -> ProveFrom:
        """Return what proves to an anchor that a checkpoint continues what it has kept."""

        def prove_from(size: int) -> ConsistencyProof:
            if size > now.size:
                head = self.head()
                if size > head.size:
                    raise contradicted(f"it has {head.size} entries, and had {size}")
                raise NewerKeptError
            hashes = self._continued(self._at(size), now)
            return ConsistencyProof(old_size=size, hashes=tuple(hashes), checkpoint=text)

        return prove_from

    def _continued(self, old: Checkpoint, new: Checkpoint) -> list[bytes]:
        """Return the hashes that show it, from what is stored."""
        with _own_tree():
            hashes = consistency_hashes(old.size, new.size, self._store.hashes)
            verify_consistency(old.size, new.size, old.root, new.root, hashes)
        return hashes


def _parted(checkpoints: object) -> tuple[list[str], list[object]]:
    """Part checkpoints from anchors; one alone may stand for a list of one."""
    if isinstance(checkpoints, Iterable) and not isinstance(checkpoints, str):
        several = list(checkpoints)
    else:
        several = [checkpoints]
    texts = [_text(one) for one in several if isinstance(one, str | Checkpoint)]
    return texts, [one for one in several if not isinstance(one, str | Checkpoint)]


def _text(checkpoint: Checkpoint | str) -> str:
    return checkpoint.to_text() if isinstance(checkpoint, Checkpoint) else checkpoint


@contextmanager
def _own_tree() -> Iterator[None]:
    """A proof from the ledger's own hashes that does not hold is no mistake of the caller."""
    try:
        yield
    except ProofError as error:
        raise contradicted(str(error)) from error
