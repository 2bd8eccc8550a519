"""Whether people are ready for the next incident: fifteen questions in five groups.

They are those of the casebook document's checklist. What a ledger or a folder of documents shows
answers them; what neither shows is unknown, whatever anybody would like to claim.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs

from rml.config import current_hooks
from rml.doctor.diagnosis import Answer, Diagnosis
from rml.incident import kinds
from rml.incident.casebook import Casebook
from rml.incident.closing import TRIANGLE
from rml.incident.metrics import PHASES
from rml.incident.projection import Projection
from rml.incident.step import undecided_roles
from rml.ledger.entry import Entry
from rml.ledger.ledger import Ledger
from rml.world import World

# Of a folder of documents, the files that are looked at, and how much of each.
FILES_MAX: Final = 5_000
FILE_BYTES_MAX: Final = 1 << 20
_ENDINGS: Final = (".md", ".rst", ".txt", ".adoc")
# The kinds of change by which a lesson reaches those who are on call.
_FED_BACK: Final = frozenset({"runbook", "checklist"})


@attrs.frozen
class Document:
    """A file of a folder: its path as text, and its words in lower case."""

    path: str
    text: str


@attrs.frozen(slots=False)
class Seen:
    """What there is to judge by.

    Attributes:
        cases: every case of the ledger; empty if no ledger is named.
        documents: the folder's documents; ``None`` if no folder is named.
        hooks: how many hooks this process has configured.
    """

    cases: Sequence[Projection]
    documents: Sequence[Document] | None
    hooks: int

    @cached_property
    def closed(self) -> list[Projection]:
        """The closed cases that were history to the end."""
        done = (case for case in self.cases if case.closed is not None)
        return [case for case in done if case.file.rml_world is World.RML3]

    def entries(self, kind: str) -> list[Entry]:
        """Return the entries of a kind of all cases."""
        return [entry for case in self.cases for entry in case.entries if entry.kind == kind]


def look(ledger: Ledger | None = None, folder: str | os.PathLike[str] | None = None) -> Seen:
    """Look at a ledger's cases, at a folder's documents and at this process's hooks.

    Raises:
        OSError: the folder cannot be read.
    """
    cases = () if ledger is None else list(Casebook(ledger).standings())
    documents = None if folder is None else list(_documents(Path(folder)))
    return Seen(cases, documents, len(current_hooks()))


def _documents(folder: Path) -> Iterator[Document]:
    for path in sorted(_files(folder))[:FILES_MAX]:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX).decode("utf-8", "replace")
        yield Document(str(path.relative_to(folder)), text.lower())


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(top, name) for name in names if name.lower().endswith(_ENDINGS))


def checklist(seen: Seen) -> tuple[Diagnosis, ...]:
    """Answer the fifteen questions, in the document's order."""
    return (
        *_definitions(seen),
        *_flow(seen),
        *_template(seen),
        *_docs(seen),
        *_culture(seen),
    )


def _definitions(seen: Seen) -> Iterator[Diagnosis]:
    yield _documented(
        seen,
        "definitions",
        "Is it written down what is an alert, a bug and an incident?",
        ("alert", "bug", "incident"),
    )
    yield _documented(
        seen,
        "definitions",
        "Is it written down what an RML3 incident is?",
        ("rml-3|rml3", "incident"),
    )
    gray = sum(any(e.facts.get("gray") for e in case.entries) for case in seen.cases)
    named = len(seen.entries(kinds.DOWNSCOPED))
    yield Diagnosis(
        "definitions",
        "Is what is gray treated as RML3?",
        Answer.YES,
        f"rml does so: {gray} cases began as a suspicion, {named} downscopes have a name",
    )


def _flow(seen: Seen) -> Iterator[Diagnosis]:
    yield _of_cases(
        seen,
        "flow",
        "Does every case go through the six steps?",
        [case for case in seen.closed if set(PHASES) <= set(case.metrics.phases)],
        "case.remarks says who passed which step, and why",
    )
    failed = len(seen.entries(kinds.HOOK_FAILED))
    yield _answer(
        "flow",
        "Does an escalation open a ticket by itself?",
        f"{seen.hooks} hooks in this process; {failed} failures of hooks are recorded",
        well=True if seen.hooks and not failed else False if failed else None,
        remedy="rml.configure(hooks=[...]) in the service; look at incident.hook_failed",
    )
    pulled = [e for e in seen.entries(kinds.CONTAINED) if e.facts["lever"] != "none"]
    yield _answer(
        "flow",
        "Can everything that becomes history be stopped?",
        f"{len(pulled)} times something was stopped in a case",
        well=True if pulled else None,
        remedy="rml lint finds operations without a lever; pull one in a drill",
    )


def _template(seen: Seen) -> Iterator[Diagnosis]:
    events = sum(len(case.file.timeline) for case in seen.cases)
    yield Diagnosis(
        "template",
        "Does every event of a timeline say its world?",
        Answer.YES,
        f"no entry can be recorded without one: {events} events",
    )
    decisions = seen.entries(kinds.DECIDED)
    named = [entry for entry in decisions if entry.facts["decided_by"]]
    yield _answer(
        "template",
        "Do decisions say who decided what?",
        f"{len(named)} of {len(decisions)} decisions have names",
        well=len(named) == len(decisions) if decisions else None,
        remedy="case.decide(..., decided_by={...})",
    )
    yield _of_cases(
        seen,
        "template",
        "Are lessons technical, of process and of governance?",
        [case for case in seen.closed if all(_lessons(case))],
        "case.learn(...) takes a reason where a list has none",
    )


def _docs(seen: Seen) -> Iterator[Diagnosis]:
    yield _documented(
        seen, "docs", "Are there runbooks for containing in RML2?", ("runbook", "contain|roll back")
    )
    yield _documented(
        seen, "docs", "Are there playbooks for deciding and telling in RML3?", ("playbook",)
    )
    yield _of_cases(
        seen,
        "docs",
        "Do lessons reach the runbooks?",
        [case for case in seen.closed if _FED_BACK & {c["kind"] for c in case.changes}],
        "case.learn(changes=[{'kind': 'runbook', ...}])",
    )


def _culture(seen: Seen) -> Iterator[Diagnosis]:
    held = seen.entries(kinds.POSTMORTEM)
    full = [
        e for e in held if not undecided_roles(e.facts, "attended") and not e.facts.get("absent")
    ]
    yield _answer(
        "culture",
        f"Do {', '.join(TRIANGLE)} come to the postmortem?",
        f"all three came to {len(full)} of {len(held)} postmortems that were recorded",
        well=len(full) == len(held) if held else None,
        remedy="write down in the case who was there: case.postmortem(attended={...})",
    )
    counted = [case for case in seen.cases if _amounts(case)]
    yield _answer(
        "culture",
        "Is it known what an incident costs?",
        f"{len(counted)} of {len(seen.cases)} cases say an amount",
        well=True if counted else None,
        remedy="count it from the ledger, or name refunds with their amounts",
    )
    yield _of_cases(
        seen,
        "culture",
        "Does something change after each incident?",
        [case for case in seen.closed if any("owner" in change for change in case.changes)],
        "case.learn(changes=[...]), each with an owner and a date",
    )


def _lessons(case: Projection) -> tuple[tuple[str, ...], ...]:
    lessons = case.file.lessons_learned
    return lessons.technical, lessons.process, lessons.governance


def _amounts(case: Projection) -> bool:
    """Say whether a case tells what it came to in money."""
    return any(
        name in entry.facts for entry in case.entries for name in ("amounts", "amount", "cost")
    )


def _of_cases(
    seen: Seen, about: str, question: str, good: Sequence[Projection], remedy: str
) -> Diagnosis:
    """Judge by the closed RML3 cases: all of them, or it is no."""
    done = seen.closed
    evidence = f"{len(good)} of {len(done)} closed RML3 cases"
    if not done:
        evidence = "no RML3 case is closed yet"
    well = None if not done else len(good) == len(done)
    return _answer(about, question, evidence, well=well, remedy=remedy)


def _documented(seen: Seen, about: str, question: str, words: Iterable[str]) -> Diagnosis:
    """Judge by whether one document, at least, has each of some words, in its name or its text."""
    remedy = f"write it down, and name its folder with --docs; looked for {', '.join(words)}"
    if seen.documents is None:
        return _answer(about, question, "no folder of documents is named", well=None, remedy=remedy)
    wanted = [word.split("|") for word in words]
    found = [
        document.path
        for document in seen.documents
        if all(
            any(one in document.text or one in document.path.lower() for one in alternatives)
            for alternatives in wanted
        )
    ]
    evidence = f"{len(found)} of {len(seen.documents)} documents"
    if found:
        evidence += f", such as {found[0]}"
    return _answer(about, question, evidence, well=bool(found), remedy=remedy)


def _answer(
    about: str, question: str, evidence: str, *, well: bool | None, remedy: str
) -> Diagnosis:
    answer = {True: Answer.YES, False: Answer.NO, None: Answer.UNKNOWN}[well]
    return Diagnosis(about, question, answer, evidence, None if well else remedy)
