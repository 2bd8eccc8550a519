"""Anchors: places outside a ledger's store in which its last checkpoint is kept.

A ledger alone cannot show that it was set back to an earlier state. Whoever remembers one of its
checkpoints elsewhere can: that is all an anchor does. It is asked when a ledger is opened, before a
checkpoint is signed, and when the ledger is verified.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import attrs

from rml.cause import text_of
from rml.error import InvalidInputError
from rml.ledger.proofs.checkpoint import read_checkpoint
from rml.ledger.proofs.proof import ConsistencyProof

ProveFrom = Callable[[int], ConsistencyProof]
"""Gives the proof that the checkpoint to be kept continues the tree of an older size."""

# What SQLite and we put beside a ledger's file; to open any of them would let go of its locks.
_OWN_ENDINGS: Final = ("", "-wal", "-shm", "-journal", ".lock")


@runtime_checkable
class Anchor(Protocol):
    """Where the last checkpoint of a ledger is kept, out of reach of whoever writes the ledger.

    ``str()`` of an anchor names it in messages. One that keeps a file on this machine may name it
    in an attribute ``path``: in or below the ledger's own folder it does not count as elsewhere.
    """

    def last(self, origin: str) -> str | None:
        """Return the checkpoint of a ledger that was kept last, or ``None`` if there is none.

        Args:
            origin: the ledger's.

        Raises:
            AnchorError: the anchor cannot be reached. Any exception that is not of the ``rml``
                family counts as this.
            InvalidInputError: what is kept there is no checkpoint of this ledger.
        """
        ...

    def keep(self, checkpoint: str, prove_from: ProveFrom) -> str | None:
        """Keep a checkpoint for good, unless a newer one is kept already.

        Args:
            checkpoint: what to keep, signed if the ledger has a key.
            prove_from: called with the size of the checkpoint that was kept last, it returns the
                proof that this one continues it. Who does not need it need not call it; what it
                raises is to be let through.

        Returns:
            The checkpoint with the anchor's own signature below the others; ``None`` without one.

        Raises:
            AnchorError: it was not kept; as for :meth:`last`.
            ProofError: what was kept last is not continued.
        """
        ...


def as_anchors(anchors: object) -> tuple[Anchor, ...]:
    """Check what a ledger is to be anchored with.

    Raises:
        InvalidInputError: it is no list of anchors.
    """
    if isinstance(anchors, Iterable) and not isinstance(anchors, str | bytes):
        return tuple(_as_anchor(one) for one in anchors)
    return (_as_anchor(anchors),)


def _as_anchor(anchor: object) -> Anchor:
    if isinstance(anchor, Anchor) and not isinstance(anchor, type):
        return anchor
    kind = type(anchor).__name__
    raise InvalidInputError(
        f"anchors must be a list of anchors, such as rml.FileAnchor(path), and {kind} is none"
    )


def name_of(anchor: Anchor) -> str:
    """Return what an anchor is called in messages."""
    return text_of(anchor)


def renewed(kept: str | None, checkpoint: str, prove_from: ProveFrom) -> str | None:
    """Return what to keep in the stead of what was kept last; ``None`` if that is to stay.

    It stays if it is newer. Of two checkpoints of one size, the signatures are gathered.

    Raises:
        ProofError: what was kept is not continued.
        InvalidInputError: it is signed, and what would replace it is not.
    """
    if kept is None:
        return checkpoint
    (old, signed), (new, signs) = read_checkpoint(kept), read_checkpoint(checkpoint)
    if old.size > new.size:
        return None
    if signed is not None and signs is None and old != new:
        raise unsigned("the checkpoint that is kept")
    prove_from(old.size).verify(old, trusted=new)
    if old == new:  # or somebody has signed one with extension lines, which ours replaces
        checkpoint = gathered(kept, checkpoint)
    return None if checkpoint == kept else checkpoint


def unsigned(what: str) -> InvalidInputError:
    """Return the error of whoever would replace something signed by something that is not."""
    return InvalidInputError(
        f"{what} is signed, and this one would not be: open the ledger with its signer key"
    )


def gathered(checkpoint: str, other: str) -> str:
    """Return a checkpoint together with the signatures below another copy of it.

    Raises:
        InvalidInputError: the other one is none, or says something else.
    """
    (mine, signed), (theirs, more) = read_checkpoint(checkpoint), read_checkpoint(other)
    if mine != theirs:
        raise InvalidInputError("the signatures are below another checkpoint")
    if signed is None or more is None:
        return checkpoint if more is None else other
    lines = dict.fromkeys((*signed.signatures, *more.signatures))
    return attrs.evolve(signed, signatures=tuple(lines)).to_text()


# Elsewhere or not ---------------------------------------------------------------------------------


def resolved(place: str | os.PathLike[str]) -> Path:
    """Return the file that a path leads to; links that lead round in a circle lead to themselves.

    ``Path.resolve`` raises a bare ``RuntimeError`` for such, before Python 3.13.
    """
    return Path(os.path.realpath(place))


def file_of(url: str) -> Path | None:
    """Return the file that a ledger's URL names, if it names one."""
    scheme, _, place = url.partition("://")
    place = place.removeprefix("/")
    return resolved(place) if scheme == "sqlite" and place != ":memory:" else None


def is_elsewhere(anchor: Anchor, ledger: Path | None) -> bool:
    """Say whether whoever can write a ledger's folder cannot change what an anchor keeps.

    Raises:
        InvalidInputError: the anchor's file is the ledger's own.
    """
    place = getattr(anchor, "path", None)
    if ledger is None or not isinstance(place, str | os.PathLike):
        return True
    path = resolved(place)
    if path in [ledger.with_name(ledger.name + ending) for ending in _OWN_ENDINGS]:
        raise InvalidInputError(f"{name_of(anchor)} belongs to the ledger; name another file")
    return not path.is_relative_to(ledger.parent)
