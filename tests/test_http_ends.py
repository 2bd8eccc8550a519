"""How requests end behind the `Idempotency-Key` middlewares, and what the next one is told."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http_faces import CREATED, Face
from protected import doubtful, kinds, the_effect

import rml
from rml.effect.operation import Outcome
from rml.integrations.idempotency_key import Answer, IdempotencyKeys, note_error
from rml.ledger.errors import LedgerUnavailableError

Make = Callable[..., Face]


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """An empty ledger in memory; what stores must do is tested elsewhere."""
    with rml.Ledger("memory:", clock=clock) as made:
        rml.configure(ledger=made)
        yield made
        assert made.verify().problems == ()


@pytest.fixture(params=["asgi", "wsgi"])
def make(request: pytest.FixtureRequest, ledger: rml.Ledger) -> Make:
    """Return a function that puts a handler behind a middleware."""

    def made(handler: Any = lambda _: CREATED, **options: Any) -> Face:
        return Face(request.param, handler, **options)

    return made


def ends(*script: Any) -> Callable[[bytes], Answer]:
    """Return a handler whose ends are written down beforehand."""
    left = list(script)

    def handler(_: bytes) -> Answer:
        end = left.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end() if callable(end) else end

    return handler


# -------------------------------------------------------------------------------------------- ends


def test_an_exception_leaves_doubt(make: Make, ledger: rml.Ledger) -> None:
    """It goes on to the server's log; the retry is told that nobody knows, and where to look."""
    face = make(ends(TimeoutError("the gateway's answer was lost")))

    with pytest.raises(TimeoutError):
        face()

    for _ in range(2):
        reply = face()
        assert (409, "EFFECT_IN_DOUBT") == (reply.status, reply.code)
        found = {"effect": the_effect(ledger).id, "incident": "INC-2026-0001"}
        assert found == reply.problem["details"]
        assert not reply.is_replay
    assert 1 == face.count


def test_a_decision_ends_the_doubt(make: Make, ledger: rml.Ledger) -> None:
    """It happened: later requests get what was found. It did not: the next one runs."""
    face = make(ends(TimeoutError(), TimeoutError(), CREATED))
    for key in ("k-1", "k-2"):
        with pytest.raises(TimeoutError):
            face(key=key)
    one, other = ledger.in_doubt()

    ledger.resolve(one.id, happened=True, by="ada", reason="seen", result=CREATED)
    ledger.resolve(other.id, happened=False, by="ada", reason="not there")

    found = face(key=one.key)
    assert (201, True, b'{"id": "ch-1"}') == (found.status, found.is_replay, found.body)
    assert (201, False) == ((run := face(key=other.key)).status, run.is_replay)
    assert 3 == face.count


def test_a_reconciler_gives_the_response(make: Make) -> None:
    """The other side is asked by the provider key that the handler has sent."""
    sent: list[str] = []

    def handler(_: bytes) -> Answer:
        sent.append(rml.current_effect().provider_key)
        raise TimeoutError

    def ask(effect: rml.Effect) -> rml.Finding:
        assert [effect.provider_key] == sent
        return rml.Finding(True, CREATED, "ch-1 in its books")

    face = make(handler, reconcile=ask)
    with pytest.raises(TimeoutError):
        face()
    rml.reconcile()

    assert (201, True) == ((reply := face()).status, reply.is_replay)


def test_a_reconciler_is_known_before_its_middleware_is_made(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI makes it with the first request, and whoever reconciles only imports the module."""
    face = make(ends(TimeoutError()))
    with pytest.raises(TimeoutError):
        face()
    monkeypatch.setattr("rml.effect.reconcile._operations", {})

    IdempotencyKeys(tenant=None, reconcile=lambda _: rml.Finding(True, CREATED, "in its books"))

    assert [True] == [settled.happened for settled in rml.reconcile()]
    assert (201, True) == ((reply := face()).status, reply.is_replay)


class DeclinedError(rml.DialogError):
    """The card was declined."""

    code = "TEST_CARD_DECLINED"
    happened = False
    http_status = 402


class TooOldError(rml.DialogError):
    """The charge is too old to be refunded."""

    code = "TEST_TOO_OLD"
    action = rml.Action.START_COMPENSATION
    http_status = 410


class SettledError(rml.HistoryError):
    """The charge is settled."""

    code = "TEST_SETTLED"


@pytest.mark.parametrize(
    ("error", "first", "state", "later"),
    [
        (rml.ClosedError("no"), 400, "not_done", (201, False)),
        (DeclinedError(), 402, "not_done", (201, False)),
        (rml.DialogError("no answer", retry_after=7), 503, "in_doubt", (409, False)),
        (TooOldError(), 410, "failed", (410, True)),
        (SettledError(), 500, "history", (500, True)),
    ],
    ids=["RML1", "declined", "no answer", "failed", "history"],
)
def test_an_error_of_the_family_says_itself_what_became_of_the_request(  # noqa: PLR0917
    make: Make, ledger: rml.Ledger, error: rml.RmlError, first: int, state: str, later: Any
) -> None:
    """It is answered as a problem; a failure that is given again is marked as the replay it is."""
    face = make(ends(error, CREATED))

    reply = face()

    assert (first, error.code, False) == (reply.status, reply.code, reply.is_replay)
    assert ("7" if error.retry_after else None) == reply.headers.get("retry-after")
    assert state == the_effect(ledger).state
    again = face()
    assert later == (again.status, again.is_replay)


def test_a_client_is_not_told_that_nothing_happened_when_nobody_knows(
    make: Make, ledger: rml.Ledger
) -> None:
    """A 400 would have the client try with a new key; this goes on to the server as it is."""
    error = rml.ClosedError("no")
    error.__cause__ = TimeoutError("the gateway's answer was lost")
    face = make(ends(error))

    with pytest.raises(rml.ClosedError):
        face()

    assert ["k-1"] == doubtful(ledger)


@pytest.mark.parametrize(
    "error", [rml.ConfigurationError("no"), rml.MissingExtraError.about("sign")], ids=repr
)
def test_the_servers_own_mistakes_are_not_answered(make: Make, error: rml.RmlError) -> None:
    """No client can do anything about them."""
    face = make(ends(error))

    with pytest.raises(type(error)):
        face()


def test_without_a_ledger_nothing_runs(make: Make) -> None:
    """That is a mistake of the server's, too."""
    face = make()
    rml.configure(ledger=None)

    with pytest.raises(rml.NoLedgerError):
        face()
    assert 0 == face.count


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, "done"), (303, "done"), (404, "done"), (429, "done"), (500, "in_doubt")],
)
def test_a_status_says_what_became_of_the_request(
    make: Make, ledger: rml.Ledger, status: int, state: str
) -> None:
    """What the application answers is passed on in any case; a 5xx is not given again."""
    face = make(lambda _: Answer(status, (), "said"))

    assert (status, b"said") == ((reply := face()).status, reply.body)
    assert state == the_effect(ledger).state
    again = face()
    assert (status if state == "done" else 409, state == "done") == (again.status, again.is_replay)
    assert 1 == face.count


def test_the_application_may_know_better(make: Make, ledger: rml.Ledger) -> None:
    """Its rate limiter stands before the handlers, and a header tells which 503 this is."""

    def classify(status: int, headers: Any) -> rml.EffectState:
        if status == 429 or headers.get("x-before") == "yes":
            return rml.EffectState.NOT_DONE
        return rml.EffectState.DONE if status < 500 else rml.EffectState.IN_DOUBT

    limited, closed = Answer(429, (("Retry-After", "3"),)), Answer(503, (("X-Before", "yes"),))
    face = make(ends(limited, closed, CREATED), classify=classify)

    replies = [face(), face(), face(), face()]

    assert [429, 503, 201, 201] == [reply.status for reply in replies]
    assert "3" == replies[0].headers["retry-after"]
    assert [False, False, False, True] == [reply.is_replay for reply in replies]
    assert [1, 1, 1] == [int(e.provider_key[-1]) for e in ledger.effects() for _ in range(3)]


def test_a_provider_that_honours_keys_is_asked_again(make: Make, ledger: rml.Ledger) -> None:
    """A retry runs under the same provider key; a 500 says nothing, and stays in doubt."""
    sent: list[str] = []

    def handler(_: bytes) -> Answer:
        sent.append(rml.current_effect().provider_key)
        if len(sent) == 1:
            raise rml.DialogError("no answer")
        return Answer(500, ())

    face = make(handler, provider_idempotent=True)

    replies = [face(), face(), face()]

    assert [503, 500, 409] == [reply.status for reply in replies]
    assert 2 == len(sent)
    assert 1 == len(set(sent))


def test_a_provider_forgets_its_keys_in_time(make: Make, clock: rml.FrozenClock) -> None:
    """The middleware takes `retention=`, as a handler does."""
    again = rml.DialogError("no answer")
    face = make(ends(again, again, CREATED), provider_idempotent=True, retention=60)

    statuses = []
    for seconds in (0, 59, 1):
        clock.advance(seconds)
        statuses.append(face().status)

    assert [503, 503, 409] == statuses


def test_retention_says_nothing_of_a_provider_without_keys(make: Make) -> None:
    """It is refused where it is written."""
    with pytest.raises(rml.DefinitionError, match="provider_idempotent=True"):
        make(retention=60)


def test_an_error_handler_notes_what_its_response_stands_for(
    make: Make, ledger: rml.Ledger
) -> None:
    """A framework makes a 500 of everything; the error behind it knows more."""

    def declined() -> Answer:
        note_error(DeclinedError())
        return Answer(500, (), "so sorry")

    face = make(ends(declined, CREATED))

    assert (500, b"so sorry") == ((reply := face()).status, reply.body)
    assert "not_done" == the_effect(ledger).state
    assert 201 == face().status


def test_an_error_handler_may_answer_with_the_problem(make: Make, ledger: rml.Ledger) -> None:
    """`IdempotencyKeys.answer` makes the problem and notes the error."""
    face = make(ends(lambda: face.keys.answer(SettledError()), CREATED))

    first, again = face(), face()

    assert first.problem == again.problem
    assert (False, True) == (first.is_replay, again.is_replay)
    assert "history" == the_effect(ledger).state


def test_noting_an_error_elsewhere_does_nothing(ledger: rml.Ledger) -> None:
    """An error handler also serves requests that need no key."""
    error = ValueError("no key")

    note_error(error)

    assert (0, ("no key",), {}) == (ledger.size, error.args, vars(error))


# ------------------------------------------------------------------------------- effects inside


def test_the_handler_knows_its_effect(make: Make, ledger: rml.Ledger) -> None:
    """The provider key goes to the other side, the same for each repetition."""
    face = make(lambda _: Answer(200, (), rml.current_effect().provider_key))

    assert f"{the_effect_id(face, ledger)}-1".encode() == face().body


def the_effect_id(face: Face, ledger: rml.Ledger) -> str:
    """Send a request, and return the id of its effect."""
    face()
    return the_effect(ledger).id


def test_doubt_inside_is_doubt_outside(make: Make, ledger: rml.Ledger) -> None:
    """One incident for both; settled inside and outside, the retry gets its response."""

    @rml.idempotent("payment.charge", key="payment_id")
    def charge(payment_id: str) -> str:
        raise TimeoutError

    face = make(lambda _: Answer(200, (), charge("pay-1")))

    with pytest.raises(TimeoutError):
        face()
    assert 409 == face().status
    assert 1 == len(ledger.entries(kind="incident.opened"))
    inside, outside = sorted(ledger.in_doubt(), key=lambda effect: effect.key, reverse=True)
    ledger.resolve(inside.id, happened=True, by="ada", reason="seen", result="ch-1")
    ledger.resolve(outside.id, happened=False, by="ada", reason="the charge answers now")
    assert (200, b"ch-1") == ((reply := face()).status, reply.body)


@pytest.mark.parametrize("is_noted", [False, True])
def test_a_doubt_from_before_is_not_the_last_word(
    make: Make, ledger: rml.Ledger, is_noted: bool
) -> None:
    """Another request met it first. This one is in doubt as well, until somebody decides."""
    lost = [True]

    @rml.idempotent("payment.charge", key="payment_id")
    def charge(payment_id: str) -> str:
        if lost.pop():
            raise TimeoutError
        return "never"

    def handler(_: bytes) -> Answer:
        try:
            return Answer(200, (), charge("pay-1"))
        except rml.InDoubtError as error:
            if not is_noted:
                raise
            return face.keys.answer(error)

    face = make(handler)
    with pytest.raises(TimeoutError):
        face(key="k-1")
    first = face(key="k-2")
    assert (409, "EFFECT_IN_DOUBT") == (first.status, first.code)
    assert (409, "EFFECT_IN_DOUBT") == ((again := face(key="k-2")).status, again.code)
    doubts = {(effect.operation, effect.key): effect.id for effect in ledger.in_doubt()}
    charged = doubts["payment.charge", "pay-1"]
    ledger.resolve(charged, happened=True, by="ada", reason="seen", result="ch-1")
    ledger.resolve(doubts["http.post", "k-2"], happened=False, by="ada", reason="it may ask again")
    assert (200, b"ch-1") == ((last := face(key="k-2")).status, last.body)
    assert [] == lost


def test_an_outcome_that_cannot_be_recorded_is_said(
    make: Make, ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The effect happened; saying 201 would promise a replay that nobody can give."""
    real = ledger.write

    def failing(work: Any, **options: Any) -> Any:
        if any(isinstance(cell.cell_contents, Outcome) for cell in work.__closure__ or ()):
            raise LedgerUnavailableError("the disk is full")
        return real(work, **options)

    monkeypatch.setattr(ledger, "write", failing)
    face = make()

    assert (500, "EFFECT_OUTCOME_NOT_RECORDED") == ((reply := face()).status, reply.code)
    assert (409, "IDEMPOTENCY_IN_FLIGHT") == ((again := face()).status, again.code)
    assert 1 == face.count


def test_a_busy_ledger_is_told_before_anything_runs(
    make: Make, ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503: the same request may come again."""

    def busy(*_: Any, **__: Any) -> Any:
        raise rml.LedgerBusyError

    monkeypatch.setattr(ledger, "write", busy)
    face = make()

    assert (503, "LEDGER_BUSY") == ((reply := face()).status, reply.code)
    assert not reply.is_replay
    assert 0 == face.count


def test_a_request_that_outlives_its_lease_changes_nothing_decided(
    make: Make, ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """A person decided meanwhile; the late response is recorded, and not sent as if it counted."""

    def handler(_: bytes) -> Answer:
        clock.advance(61)
        rml.reconcile()
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="not there")
        return CREATED

    face = make(handler)

    assert (409, "EFFECT_IN_DOUBT") == ((reply := face()).status, reply.code)
    assert "effect.late" in kinds(ledger)
