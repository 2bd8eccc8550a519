"""One operation as defined, and what its calls record: the promise, the outcome, the doubt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import attrs

from rml.attempt import was_about_another
from rml.codec import plain
from rml.context import surroundings
from rml.effect.decide import (
    Decision,
    Doubt,
    Ending,
    Refuse,
    Run,
    Wait,
    after_unknown,
    decide,
    in_doubt_error,
    summary_of,
)
from rml.effect.doubt import CODE_IN_DOUBT, NOBODY, look
from rml.effect.request import Arguments, Request, key_text, pick, request
from rml.effect.returns import Returns
from rml.effect.state import (
    CORRECTS,
    ERROR,
    FAILURE,
    GENERATION,
    HAPPENED,
    NO_RESULT,
    REQUEST,
    RESULT,
    UNOWNED,
    Effect,
    EffectState,
    provider_key,
)
from rml.error import RmlError
from rml.incident.levers.lever import REGION, TENANT
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import incident_of
from rml.incident.signals.opening import Signal, open_or_join
from rml.ledger.content import new_salt
from rml.ledger.draft import Draft
from rml.ledger.entry import check_text
from rml.world import World

Pick = Callable[[Arguments], Any]
# How long providers recognise an idempotency key, in seconds, unless the operation says otherwise:
# Stripe removes keys that are 24 hours old at least, others keep them longer.
RETENTION_SECONDS: Final = 24 * 3600.0
# How long an attempt need not be doubted, in seconds, unless the operation says otherwise.
LEASE_SECONDS: Final = 60.0


class Admission(Protocol):
    """What is asked before an intent."""

    def is_known(self, ledger: Any) -> bool:
        """Say whether it answers without reading the ledger."""
        ...

    def admit(self, ledger: Any, scope: str | None, facts: Mapping[str, Any]) -> None:
        """Raise what refuses the effect whose intent would say this, or return."""
        ...

    def admit_in(
        self, draft: Draft, ledger: Any, scope: str | None, facts: Mapping[str, Any]
    ) -> None:
        """Do so again, in the commit of the intent."""
        ...


@attrs.frozen(kw_only=True)
class Operation:
    """An operation's definition; immutable, so that nothing a call does can change another's."""

    name: str
    home: str
    key: Pick
    scope: Pick | None
    world: World
    provider_idempotent: bool
    retention: float
    excluded: frozenset[str]
    optional: frozenset[str]
    facts: Mapping[str, Pick]
    personal: Mapping[str, Pick]
    lease: float
    corrects: Pick | None
    returns: Returns
    reconcile: Callable[[Effect], Any] | None
    signature: inspect.Signature
    connection: Pick | None = None
    guards: list[Admission] = attrs.field(factory=list, eq=False, repr=False)


@attrs.frozen(kw_only=True)
class Attempt:
    """One attempt at an effect, as the running handler sees it (:func:`rml.current_effect`).

    Attributes:
        id: the effect's id.
        operation: the operation's name.
        scope: the scope, as text.
        key: the idempotency key, as text.
        attempt: which attempt this is, from 1.
        provider_key: the key to send to the other side's own idempotency layer. From when it is
            read, a client's exception says something of the effect only if its request bore it.
        owner: the token of this attempt's lease: the id of its intent.
        uncertain: whether an earlier attempt with this key may have taken effect.
    """

    id: str
    operation: str
    scope: str | None
    key: str
    attempt: int
    _provider_key: str
    owner: str = attrs.field(repr=False)
    uncertain: bool = attrs.field(default=False, repr=False)
    _sent: list[bool] = attrs.field(factory=list, init=False, repr=False, eq=False)
    _taken: list[bool] = attrs.field(factory=list, init=False, repr=False, eq=False)

    @property
    def provider_key(self) -> str:
        """The key to send to the other side's own idempotency layer; whoever reads it will."""
        self._taken[:] = [True]
        return self._provider_key

    def sent(self) -> None:
        """Say that a request has left that may carry out the effect.

        From here on, no exception of a client's means that the effect did not happen: that a later
        request was refused says nothing about this one. What an error states by ``happened`` still
        counts. To be called between the requests of a handler that makes several, from any thread.
        """
        self._sent.append(True)

    def may_have_sent(self, error: BaseException) -> bool:
        """Say whether a request may have left that is not the one which failed with this error.

        The handler has said so, or it has taken the provider's key, and a client failed with a
        request that does not bear it: the one that does may have gone before.
        """
        return bool(self._sent) or (
            bool(self._taken) and was_about_another(error, self._provider_key)
        )


@attrs.frozen
class Promise:
    """Everything that a call promises, worked out before anything is stored."""

    request: Request
    fingerprint: str
    facts: dict[str, Any]
    personal: dict[str, Any]
    corrects: str | None


def ask(operation: Operation, arguments: Arguments) -> Request:
    """Return a call's request; every argument counts that is not excluded.

    ``None`` for a parameter whose default it is counts as nothing said, so that a handler may be
    given one more optional parameter without refusing the repetitions of earlier calls.

    Raises:
        KeyMissingError: the call has no usable key.
        EncodingError: an argument cannot be recognised again.
    """
    key = pick("the key", operation.key, arguments)
    scope = pick("the scope", operation.scope, arguments) if operation.scope is not None else None
    if operation.scope is not None:
        key_text("scope", scope)
    content = arguments
    if operation.excluded or operation.optional:
        content = {
            name: value
            for name, value in arguments.items()
            if name not in operation.excluded and not (value is None and name in operation.optional)
        }
    return request(operation.name, scope, key, content)


def promise(operation: Operation, asked: Request, arguments: Arguments) -> Promise:
    """Return what a call's intent will record.

    Raises:
        InvalidInputError: a fact cannot be recorded; the message names it.
    """
    facts = {
        n: plain(pick(f"fact {n}", f, arguments), f"facts.{n}") for n, f in operation.facts.items()
    }
    personal = {
        n: plain(pick(f"personal {n}", f, arguments), f"personal.{n}")
        for n, f in operation.personal.items()
    }
    target = (
        pick("corrects", operation.corrects, arguments) if operation.corrects is not None else None
    )
    around = surroundings()
    whose = {TENANT: around.tenant, REGION: around.region}
    facts |= {name: value for name, value in whose.items() if value is not None}
    return Promise(asked, asked.fingerprint(new_salt()), facts, personal, target)


def begin(draft: Draft, operation: Operation, promised: Promise) -> Decision | Attempt:
    """Decide once more inside the commit, and record the intent if the handler may run."""
    asked = promised.request
    effect = look(draft, asked.effect)
    decision = decide(effect, asked, draft.now, operation.retention)
    if not isinstance(decision, Run):
        return decision
    facts = dict(promised.facts)
    if decision.generation > 1:
        facts[GENERATION] = decision.generation
    if promised.corrects is not None:  # a plan so far: the header says it of what may have done it
        target = check_text("corrects", promised.corrects)
        facts[CORRECTS] = draft.check_correction(target, facts, asked.effect)
    intent = draft.record(
        "effect.intent",
        world=operation.world,
        facts=facts,
        personal={**promised.personal, REQUEST: promised.fingerprint},
        operation=asked.operation,
        scope=asked.scope,
        key=asked.key,
        effect=asked.effect,
        attempt=decision.attempt,
    )
    attempt = Attempt(
        id=asked.effect,
        operation=asked.operation,
        scope=asked.scope,
        key=asked.key,
        attempt=decision.attempt,
        provider_key=provider_key(asked.effect, decision.generation),
        owner=intent.id,
        uncertain=effect is not None and effect.state is EffectState.RETRYING,
    )
    draft.grant(asked.effect, decision.attempt, attempt.owner, operation.lease)
    return attempt


@attrs.frozen
class Outcome:
    """How an attempt ended: what it means, and the value or the error it ended with."""

    ending: Ending
    value: Any = None
    why_no_value: str | None = None
    error: BaseException | None = None


@attrs.frozen
class Recorded:
    """What recording an outcome led to."""

    late: bool = False
    escalation: Escalation | None = None


def finish(
    draft: Draft, operation: Operation, attempt: Attempt, promised: Promise, outcome: Outcome
) -> Recorded:
    """Record an attempt's outcome, with the incident that follows from it in the same commit.

    An attempt that has lost its lease to a doubt or a decision changes nothing: its outcome is
    recorded as late.
    """
    late = not draft.release(attempt.id, attempt.owner)
    ending = outcome.ending
    if attempt.uncertain:
        ending = after_unknown(ending, outcome.error)
    corrects = promised.corrects if ending.kind in _MAY_HAVE_HAPPENED and not late else None
    escalation = None
    incident = _told_inside(draft, attempt, outcome.error)
    if ending.escalates and not late and incident is None:
        escalation = open_or_join(draft, _signal(attempt, outcome))
        incident = escalation.incident
    draft.record(
        "effect.late" if late else ending.kind,
        world=World.RML3 if ending.escalates else operation.world,
        facts=_outcome_facts(attempt, outcome, ending, late=late),
        personal=_outcome_values(promised, outcome),
        corrects=corrects,
        operation=attempt.operation,
        scope=attempt.scope,
        key=attempt.key,
        effect=attempt.id,
        attempt=attempt.attempt,
        incident=incident,
    )
    if late:
        return Recorded(late=True, escalation=_contradiction(draft, attempt, ending))
    if ending.kind in UNOWNED:
        draft.grant(attempt.id, attempt.attempt, NOBODY, 0)
    return Recorded(escalation=escalation)


def _contradiction(draft: Draft, attempt: Attempt, ending: Ending) -> Escalation | None:
    """Open an incident when a late outcome shows that a decision was wrong; the decision stands."""
    denied = any(
        e.kind == "effect.resolved" and e.attempt == attempt.attempt and not e.facts[HAPPENED]
        for e in draft.of_effect(attempt.id)
    )
    if not denied or ending.kind not in {"effect.done", "effect.history"}:
        return None
    signal = Signal(
        title=f"{attempt.operation} happened after it had been decided that it did not",
        code="DECISION_CONTRADICTED",
        gray=False,
        source={"type": "rml", "source": attempt.operation},
        operation=attempt.operation,
        effect=attempt.id,
    )
    return open_or_join(draft, signal)


def _told_inside(draft: Draft, attempt: Attempt, error: BaseException | None) -> str | None:
    """Return the incident that heard of an error since its attempt began, from an effect inside.

    One error is one incident; but what an incident heard earlier, or in another ledger, about the
    same exception or about one that was being handled, says nothing of this attempt.
    """
    incident = None if error is None else incident_of(error)
    if incident is None:
        return None
    began = [e.index or 0 for e in draft.of_effect(attempt.id) if e.kind == "effect.intent"]
    heard = draft.entries(incident=incident, newest_first=True, limit=1)
    return incident if heard and (heard[0].index or 0) > began[-1] else None


# What names in its header what it was meant to correct: it did so, or may have. A doubt does not;
# its lease tells of it until it is decided.
_MAY_HAVE_HAPPENED: Final = frozenset({"effect.done", "effect.history", "effect.retrying"})


def _signal(attempt: Attempt, outcome: Outcome) -> Signal:
    error = outcome.error
    if isinstance(error, RmlError) and error.world is World.RML3:
        title, code, details = error.message, error.code, error.details
    else:
        known = summary_of(error) if error is not None else {"type": "nothing"}
        kind = known.get("code") or known["type"]
        title = f"{attempt.operation} may have happened: it ended with {kind}"
        code, details = CODE_IN_DOUBT, {}
    return Signal(
        title=title,
        code=code,
        gray=outcome.ending.gray,
        source={"type": "rml", "source": attempt.operation},
        operation=attempt.operation,
        effect=attempt.id,
        details=details,
    )


def _outcome_facts(
    attempt: Attempt, outcome: Outcome, ending: Ending, *, late: bool
) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if late:
        facts["outcome"] = ending.kind
    if outcome.error is not None:
        facts[ERROR] = summary_of(outcome.error)
    if outcome.why_no_value is not None:
        facts[NO_RESULT] = outcome.why_no_value
    if ending.new_key and not late:
        facts[GENERATION] = int(attempt.provider_key.rpartition("-")[2]) + 1
    return facts


def _outcome_values(promised: Promise, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome.error, RmlError):
        return {FAILURE: outcome.error.to_dict()}
    if (
        outcome.error is None
        and outcome.ending.kind == "effect.done"
        and outcome.why_no_value is None
    ):
        return {REQUEST: promised.fingerprint, RESULT: outcome.value}
    return {}


def refusal(decision: Decision) -> RmlError:
    """Return the error of a decision that is neither to run nor to replay."""
    if isinstance(decision, Doubt):
        return in_doubt_error(decision.effect)
    assert isinstance(decision, Wait | Refuse)
    return decision.error
