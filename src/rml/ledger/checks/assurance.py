"""How far a verified ledger can be relied on: computed from the checkpoints that were kept of it.

What was recomputed from the ledger's own bytes shows that they follow from each other. Only a
checkpoint shows more, and only for the entries that it covers: a signature that the ledger's owner
vouches for them, a place elsewhere that nobody has set the ledger back since, a witness's
cosignature that not even its owner has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from rml.clock import utc_text
from rml.error import RmlError
from rml.ledger.anchors.anchoring import Answers
from rml.ledger.anchors.kept import Kept, contradiction, forked, rolled_back
from rml.ledger.checks.verification import Assurance, Level, Problem, Verification
from rml.ledger.entry import leaf_hash
from rml.ledger.errors import ProofError
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.store import Store
from rml.ledger.tree import EMPTY_ROOT, Frontier


def assured(
    found: Verification, answers: Answers, store: Store, *, knows_key: bool
) -> Verification:
    """Return a verification at the level that what was kept gives it.

    Args:
        found: what was recomputed from the ledger alone.
        answers: what was kept of it, signatures judged.
        store: the ledger's, as it was verified.
        knows_key: whether there was a key to judge signatures by.
    """
    agreeing, contradictions = (_compared if found.ok else _compared_by_bytes)(
        found, answers.kept, store
    )
    if any(problem.index is not None for problem in found.problems):
        contradictions = [_unplaced(problem) for problem in contradictions]
    problems = [*found.problems, *answers.problems, *contradictions]
    remarks = (*found.remarks, *_remarks(answers))
    if problems:
        problems.sort(key=lambda problem: (problem.index is None, problem.index or 0))
        return attrs.evolve(
            found,
            ok=False,
            level=Level.STRUCTURE if found.ok else found.level,
            capped_by="the problems found",
            problems=tuple(problems),
            remarks=remarks,
        )
    assurances = tuple(_assurances(agreeing))
    return attrs.evolve(
        found,
        level=assurances[-1].level if assurances else found.level,
        capped_by=_cap(found, agreeing, assurances, knows_key=knows_key),
        assurances=assurances,
        remarks=(*_uncovered(found, assurances), *_only_sizes(agreeing), *remarks),
    )


def _unplaced(problem: Problem) -> Problem:
    """Leave the naming of the first bad entry to those who know it exactly."""
    return attrs.evolve(problem, index=None) if problem.code == "forked" else problem


# Comparing ----------------------------------------------------------------------------------------


def _compared(
    found: Verification, kept: Sequence[Kept], store: Store
) -> tuple[list[Kept], list[Problem]]:
    """Part what agrees with a ledger from what contradicts it, by proofs to the verified root."""
    now = Checkpoint(found.origin, found.size, bytes.fromhex(found.root))
    agreeing: list[Kept] = []
    problems: list[Problem] = []
    for one in sorted(kept, key=lambda one: one.size):
        try:
            problem = contradiction(one, now, store.hashes)
        except ProofError as error:
            problem = Problem("tile", f"nothing can be compared with {one.where}: {error}")
        if problem is None:
            agreeing.append(one)
        elif problem.code == "forked":
            problems.append(forked(one, _agreed(agreeing)))
        else:
            problems.append(problem)
    return agreeing, problems


def _compared_by_bytes(
    found: Verification, kept: Sequence[Kept], store: Store
) -> tuple[list[Kept], list[Problem]]:
    """Part them where stored hashes prove nothing: by the entries' bytes, as far as they go."""
    roots = {0: EMPTY_ROOT}
    sizes = {one.size for one in kept}
    frontier = Frontier()
    try:
        for row in store.rows() if sizes else ():
            frontier.add(leaf_hash(row.data))
            if frontier.size in sizes:
                roots[frontier.size] = frontier.root()
    except RmlError:  # told already
        pass
    agreeing: list[Kept] = []
    problems: list[Problem] = []
    for one in sorted(kept, key=lambda one: one.size):
        if one.size > found.size:
            problems.append(rolled_back(one, found.size))
        elif one.root is not None and one.size in roots:
            if one.root == roots[one.size]:
                agreeing.append(one)
            else:
                problems.append(forked(one, _agreed(agreeing)))
    return agreeing, problems


def _agreed(agreeing: Sequence[Kept]) -> int:
    """Return how many entries are known to be as they were."""
    return max((one.size for one in agreeing if one.root is not None), default=0)


# Saying -------------------------------------------------------------------------------------------


def _assurances(agreeing: Sequence[Kept]) -> Iterator[Assurance]:
    """Yield what each level covers, the lowest level first."""
    signed = [one for one in agreeing if one.signer is not None and one.size > 0]
    cosigned = [one for one in signed if one.cosigned]
    elsewhere = [one for one in signed if one.elsewhere]
    for level, vouching in (
        (Level.SIGNED, signed),
        (Level.ANCHORED, [*elsewhere, *cosigned]),  # a witness keeps what it cosigns
        (Level.WITNESSED, cosigned),
    ):
        if vouching:
            best = max(vouching, key=lambda one: one.size)
            yield Assurance(level, best.size, _by(level, best))


def _by(level: Level, kept: Kept) -> str:
    if level is Level.SIGNED and kept.signer is not None:
        return f"the key {kept.signer.name}+{kept.signer.id.hex()} has signed {kept.where}"
    if level is Level.ANCHORED and kept.elsewhere:
        return f"{kept.where} lies outside the store"
    witness, at = kept.cosigned[0]
    return f"the witness {witness.name} has cosigned {kept.where} at {utc_text(at)}"


def _cap(
    found: Verification,
    agreeing: Sequence[Kept],
    assurances: Sequence[Assurance],
    *,
    knows_key: bool,
) -> str:
    """Say why the level is no higher."""
    if assurances:
        return {
            Level.SIGNED: "no signed checkpoint is known to be kept outside the store",
            Level.ANCHORED: "no trusted witness has cosigned a checkpoint of this ledger",
            Level.WITNESSED: "",
        }[assurances[-1].level]
    noted = [one for one in agreeing if one.note is not None]
    if noted and not knows_key:
        return f"no key was given to tell who has signed {noted[-1].where}"
    if noted:
        return f"{noted[-1].where} covers no entries"
    if any(one.root is not None for one in agreeing):
        return f"{agreeing[-1].where} is not signed"
    return found.capped_by


def _uncovered(found: Verification, assurances: Sequence[Assurance]) -> Iterator[str]:
    if assurances and assurances[-1].size < found.size:
        later = found.size - assurances[-1].size
        came = "1 entry came" if later == 1 else f"{later} entries came"
        yield f"{came} after that checkpoint; the next one covers what is there then"


def _only_sizes(agreeing: Sequence[Kept]) -> Iterator[str]:
    for one in agreeing:
        if one.root is None and one.size > _agreed(agreeing):
            yield (
                f"{one.where} covers {one.size} entries; whether they are these, only a checkpoint "
                "of that size shows, and none is kept"
            )


def _remarks(answers: Answers) -> Iterator[str]:
    for one in answers.kept:
        if one.elsewhere is False:
            yield (
                f"{one.where} lies in the ledger's own folder: whoever sets the ledger back can "
                "set it back as well, so it counts as signed and no more"
            )
    for name in answers.empty:
        yield f"{name} keeps no checkpoint yet"
    yield from answers.unreached
