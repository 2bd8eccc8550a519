"""What a ledger's anchors say together: what they keep, and who could not be asked."""

from __future__ import annotations

from pathlib import Path

import attrs

from rml.cause import text_of
from rml.error import DialogError, InvalidInputError, RmlError
from rml.ledger.anchors.anchor import (
    Anchor,
    ProveFrom,
    as_anchors,
    file_of,
    gathered,
    is_elsewhere,
    name_of,
)
from rml.ledger.anchors.kept import Kept, read_kept
from rml.ledger.anchors.witness import WitnessAnchor
from rml.ledger.checks.verification import Problem
from rml.ledger.errors import AnchorError, LedgerCorruptError, ProofError
from rml.ledger.proofs.cosignature import Trust


class NewerKeptError(Exception):
    """An anchor keeps a newer checkpoint already: the ledger has grown meanwhile."""


@attrs.define
class Answers:
    """What anchors keep, and what the reader of a verification has to know about the others.

    ``empty`` names those that keep nothing yet, ``unreached`` says who could not be asked and why.
    """

    kept: list[Kept] = attrs.field(factory=list)
    problems: list[Problem] = attrs.field(factory=list)
    empty: list[str] = attrs.field(factory=list)
    unreached: list[str] = attrs.field(factory=list)

    def newest_signed(self) -> str | None:
        """Return the signed checkpoint among what is kept that covers most entries."""
        signed = [(kept.size, kept.note.to_text()) for kept in self.kept if kept.note is not None]
        return max(signed, default=(0, None))[1]


@attrs.frozen
class Anchors:
    """The anchors of one ledger, and the file that the ledger is kept in, if there is one."""

    anchors: tuple[Anchor, ...] = ()
    file: Path | None = None

    @classmethod
    def of(cls, anchors: object, url: str) -> Anchors:
        """Return the anchors of the ledger that a URL names.

        Raises:
            InvalidInputError: something is no anchor, or keeps its checkpoints in the ledger's own
                file.
        """
        return cls(file=file_of(url)).and_also(anchors)

    def and_also(self, anchors: object) -> Anchors:
        """Return these and others.

        Raises:
            InvalidInputError: as for :meth:`of`.
        """
        others = as_anchors(anchors)
        for anchor in others:
            is_elsewhere(anchor, self.file)
        return attrs.evolve(self, anchors=(*self.anchors, *others))

    @property
    def witnesses(self) -> tuple[WitnessAnchor, ...]:
        """Those of them that are witnesses."""
        return tuple(one for one in self.anchors if isinstance(one, WitnessAnchor))

    @property
    def trust(self) -> Trust:
        """The keys of the witnesses, which are trusted by naming them."""
        return Trust(witnesses=tuple(witness.key for witness in self.witnesses))

    # Asking ---------------------------------------------------------------------------------------

    def know(self, origin: str | None, new_origin: str) -> bool:
        """Say whether a ledger that is missing would be a loss: an anchor keeps entries of it.

        Without an origin, whatever an anchor keeps that is not for a new ledger is of the old one.

        Raises:
            InvalidInputError: an anchor keeps something else than a checkpoint of this origin.
        """
        try:
            return any(kept.size > 0 for kept in self.ask(origin or new_origin, Trust()).kept)
        except InvalidInputError:
            if origin is not None:
                raise
            return True
        except RmlError:  # told when the ledger is open
            return False

    def ask(self, origin: str, trust: Trust) -> Answers:
        """Return what the anchors keep of a ledger; of witnesses, what they cosigned for us.

        Raises:
            InvalidInputError: an anchor keeps something else.
            SignatureError: a signature by a trusted key does not fit.
        """
        answers = Answers()
        for anchor in self.anchors:
            name = name_of(anchor)
            try:
                text = anchor.last(origin)
            except Exception as error:
                if isinstance(error, RmlError) and not isinstance(error, DialogError):
                    raise
                answers.unreached.append(_trouble(name, error))
                continue
            if text is not None:
                where = f"the checkpoint {_how(anchor)} {name}"
                elsewhere = is_elsewhere(anchor, self.file)
                answers.kept.append(
                    read_kept(text, where, origin=origin, trust=trust, elsewhere=elsewhere)
                )
            elif not isinstance(anchor, WitnessAnchor):
                answers.empty.append(name)
        return answers

    def ask_witnesses(self, origin: str, trust: Trust, signed: str | None) -> Answers:
        """Return what the witnesses say that they have seen, most of which nobody has signed.

        Args:
            origin: the ledger's.
            trust: whose signatures count.
            signed: a checkpoint that the ledger has signed, for the witnesses to answer to.
        """
        answers = Answers()
        for witness in self.witnesses:
            if signed is None:
                answers.unreached.append(f"{witness} answers to a signed checkpoint only")
            else:
                _see(witness, signed, origin, trust, answers)
        return answers

    # Keeping --------------------------------------------------------------------------------------

    def keep(self, checkpoint: str, prove_from: ProveFrom) -> str:
        """Have every anchor keep a checkpoint, and return it with the witnesses' cosignatures.

        Witnesses are asked first, so that the other anchors keep their cosignatures as well. One
        that speaks against the ledger does not keep the others from keeping.

        Raises:
            AnchorError: not every anchor has kept it; ``details`` says which have, and holds the
                checkpoint.
            LedgerCorruptError: an anchor keeps what the ledger does not continue.
        """
        kept, failed = [], []
        refusal: LedgerCorruptError | None = None
        for anchor in sorted(self.anchors, key=lambda one: not isinstance(one, WitnessAnchor)):
            name = name_of(anchor)
            try:
                cosigned = anchor.keep(checkpoint, prove_from)
                if cosigned is not None:
                    checkpoint = gathered(checkpoint, cosigned)
            except (LedgerCorruptError, ProofError) as error:
                refusal = _refusal(name, error)
                if not isinstance(anchor, WitnessAnchor):
                    raise refusal from error
                continue
            except NewerKeptError:
                pass
            except Exception as error:  # noqa: BLE001 - an anchor of somebody's own may raise anything
                failed.append(_trouble(name, error))
                continue
            kept.append(name)
        if refusal is not None:
            raise refusal
        if failed:
            raise AnchorError(
                f"not every anchor has kept the checkpoint: {'; '.join(failed)}; kept by: "
                f"{', '.join(kept) or 'none'}",
                details={"kept": kept, "failed": failed, "checkpoint": checkpoint},
            )
        return checkpoint


def contradicted(what: str) -> LedgerCorruptError:
    """Return the error of a ledger that is not what it was."""
    return LedgerCorruptError(
        f"the ledger contradicts its tree or a checkpoint made before: {what}; "
        "run `rml verify` and keep the file as evidence"
    )


def _refusal(name: str, error: LedgerCorruptError | ProofError) -> LedgerCorruptError:
    """Return how an anchor's refusal is raised."""
    if isinstance(error, LedgerCorruptError):
        return error
    return contradicted(f"{name}: {error.message}")


def _see(witness: WitnessAnchor, signed: str, origin: str, trust: Trust, answers: Answers) -> None:
    """Ask a witness what it has seen."""
    where = f"the tree that {witness} has seen"
    try:
        seen = witness.seen(signed)
    except AnchorError as error:
        answers.unreached.append(error.message)
        return
    if not seen.agrees:
        detail = f"{where} has another root at {seen.size} entries: this is another history"
        answers.problems.append(Problem("forked", detail, 0))
    elif seen.checkpoint is None:
        answers.kept.append(Kept(where=where, size=seen.size, root=None, elsewhere=True))
    else:
        answers.kept.append(
            read_kept(seen.checkpoint, where, origin=origin, trust=trust, elsewhere=True)
        )


def _how(anchor: Anchor) -> str:
    return "cosigned by" if isinstance(anchor, WitnessAnchor) else "kept in"


def _trouble(name: str, error: Exception) -> str:
    """Say what kept an anchor from answering, and who it is."""
    text = text_of(error)
    if isinstance(error, RmlError):
        return text if name in text else f"{name}: {text}"
    return f"{name}: {type(error).__name__}: {text}"
