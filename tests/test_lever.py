"""A lever stops an operation: in this process at once, elsewhere within a second, safely."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protected import Charges, kinds

import rml
from rml.incident.levers.lever import LeverStates, Whose
from rml.incident.levers.levers import Levers


def pull(ledger: rml.Ledger, operation: str = "payment.charge", **options: Any) -> rml.Lever:
    """Pull a lever, also of an operation that the ledger does not know."""
    return rml.Levers(ledger).pull(
        operation, **{"by": "Ada", "reason": "charges twice", "force": True, **options}
    )


def release(ledger: rml.Ledger, operation: str = "payment.charge", **options: Any) -> Any:
    """Release a lever."""
    return rml.Levers(ledger).release(operation, **{"by": "Ada", "reason": "mended", **options})


# A protected handler -----------------------------------------------------------------------------


def test_pulled_lever_refuses_the_next_call_before_its_intent(ledger: rml.Ledger) -> None:
    """Nothing left the room: RML1, not happened, nothing recorded, the handler not called."""
    charges = Charges("one", "two")
    charges("pay-1")
    lever = pull(ledger)

    refused = charges.fail(rml.LeverPulledError, "pay-2")

    assert (rml.World.RML1, False, 503) == (refused.world, refused.happened, refused.http_status)
    assert lever.entry == refused.details["lever"]
    assert "Ada" in str(refused)
    assert "charges twice" in str(refused)
    assert 1 == charges.count
    assert ["effect.intent", "effect.done", "lever.pulled"] == kinds(ledger)


def test_a_call_that_waited_to_begin_is_asked_again(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy ledger lets nothing begin that was stopped while it waited for its turn to write."""
    charges = Charges("one", "two")
    charges("pay-1")
    write = ledger.write

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(ledger, "write", write)
        pull(ledger)
        return write(*args, **kwargs)

    monkeypatch.setattr(ledger, "write", late)
    charges.fail(rml.LeverPulledError, "pay-2")

    assert 1 == charges.count
    assert ["effect.intent", "effect.done", "lever.pulled"] == kinds(ledger)


def test_a_repetition_is_still_given_its_value(ledger: rml.Ledger) -> None:
    """What is done is done; only what would begin is stopped."""
    charges = Charges("one")
    charges("pay-1")
    pull(ledger)

    assert "one" == charges("pay-1")


def test_a_released_lever_lets_calls_begin(ledger: rml.Ledger) -> None:
    """The same key that was refused is free: nothing was recorded under it."""
    charges = Charges("one")
    pull(ledger)
    charges.fail(rml.LeverPulledError)

    released = release(ledger)

    assert "payment.charge" == released.operation
    assert "one" == charges()


def test_another_operation_goes_on(ledger: rml.Ledger) -> None:
    """A lever is about its own operation."""
    pull(ledger, "payment.refund")

    assert "one" == Charges("one")()


def test_star_stops_every_operation(ledger: rml.Ledger) -> None:
    """One lever for the moment when nobody knows which."""
    pull(ledger, "*")

    Charges().fail(rml.LeverPulledError)


def test_async_handler_is_refused_too(ledger: rml.Ledger) -> None:
    """The lever is asked where the store work is done, off the event loop."""

    @rml.idempotent("payment.charge", key="key")
    async def charge(key: str) -> str:
        return key

    assert "pay-1" == asyncio.run(charge("pay-1"))
    pull(ledger)
    with pytest.raises(rml.LeverPulledError):
        asyncio.run(charge("pay-2"))


def test_operation_that_says_so_has_no_lever(ledger: rml.Ledger) -> None:
    """Such as the refunds that put right what the lever is to stop."""
    pull(ledger, "*")

    assert "one" == Charges("one", lever=False)()
    with pytest.raises(rml.DefinitionError, match="lever must be True or False"):
        Charges(lever="payment.charge")


# Whose a call is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lever", "scope", "facts", "around", "stops"),
    [
        ({"tenant": "a"}, "a", {}, {}, True),
        ({"tenant": "a"}, "b", {}, {}, False),
        ({"tenant": "a"}, None, {"tenant": "a"}, {}, True),
        ({"tenant": "a"}, None, {"tenant": "b"}, {}, False),
        ({"tenant": "a"}, None, {}, {"tenant": "b"}, False),
        ({"tenant": "a"}, None, {}, {}, True),
        ({"tenant": "a"}, "b", {"tenant": "a"}, {}, True),
        ({"region": "eu"}, "a", {"region": "eu"}, {}, True),
        ({"region": "eu"}, "a", {"region": "us"}, {}, False),
        ({"region": "eu"}, "a", {}, {"region": "us"}, False),
        ({"region": "eu"}, "a", {}, {}, True),
        ({"tenant": "a", "region": "eu"}, "a", {"region": "us"}, {}, False),
        ({"tenant": "a", "region": "eu"}, "b", {"region": "eu"}, {}, False),
    ],
)
def test_tenant_and_region_come_from_scope_facts_and_surroundings(
    ledger: rml.Ledger,
    *,
    lever: dict[str, str],
    scope: str | None,
    facts: dict[str, str],
    around: dict[str, str],
    stops: bool,
) -> None:
    """A call of which nobody knows whose it is cannot be told apart, so it is stopped."""

    @rml.idempotent(
        "payment.charge", key="key", scope=None if scope is None else "scope", facts=tuple(facts)
    )
    def charge(key: str, scope: str | None, tenant: str = "", region: str = "") -> str:
        return key

    pull(ledger, **lever)
    with rml.surrounded(**around):
        if stops:
            with pytest.raises(rml.LeverPulledError):
                charge("pay-1", scope, **facts)
        else:
            assert "pay-1" == charge("pay-1", scope, **facts)


def test_intent_records_the_tenant_and_region_around_it(ledger: rml.Ledger) -> None:
    """So that it can be counted afterwards whose effects there were."""
    with rml.surrounded(tenant="shop-7", region="eu-1"):
        Charges("one")()

    assert {"rml.tenant": "shop-7", "rml.region": "eu-1"} == dict(ledger.entries()[0].facts)
    assert {} == ledger.effects()[0].facts


# What a process knows ----------------------------------------------------------------------------


def test_another_ledger_object_sees_it_within_a_second(tmp_path: Path) -> None:
    """As another process does: what is known is at most a second old."""
    clock = rml.FrozenClock()
    with (
        rml.Ledger(tmp_path / "ledger.db", clock=clock) as here,
        rml.Ledger(tmp_path / "ledger.db") as there,
    ):
        charges = Charges("one", "two", "three", ledger=here)
        charges("pay-1")
        # Behind this process's back, as another process would.
        script = (
            "import sys, rml; rml.Levers(rml.Ledger(sys.argv[1])).pull('payment.charge',"
            " by='Ada', reason='charges twice')"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "ledger.db")], check=True)

        clock.advance(0.9)
        assert "two" == charges("pay-2")
        clock.advance(0.1)
        charges.fail(rml.LeverPulledError, "pay-3")

        release(there)  # in this process: at once
        assert "three" == charges("pay-3")


def test_one_look_a_second_and_no_more(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call costs no question to the ledger while what is known is fresh."""
    asked: list[Any] = []
    entries = type(ledger).entries

    def counted(self: rml.Ledger, **query: Any) -> Any:
        asked.append(query.get("kind"))
        return entries(self, **query)

    monkeypatch.setattr(rml.Ledger, "entries", counted)
    guard = rml.guard("payment.charge")
    for _ in range(3):
        for _ in range(100):
            guard.check()
        clock.advance(1)

    assert ["lever.pulled", "lever.released"] * 3 == asked


class UnreadableError(Exception):
    """What a ledger that has gone away raises."""


def blind(ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger be unreadable from here on."""

    def fail(**_: Any) -> Any:
        raise UnreadableError

    monkeypatch.setattr(ledger, "entries", fail, raising=False)


def test_what_cannot_be_known_is_refused_after_a_while(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look counts for five seconds; then history is not begun blindly."""
    guard = rml.guard("payment.charge")
    guard.check()
    blind(ledger, monkeypatch)

    clock.advance(5)
    guard.check()
    clock.advance(0.1)
    with pytest.raises(rml.LeverUnreadableError, match="more than 5 seconds") as refused:
        guard.check()

    assert (rml.World.RML2, False) == (refused.value.own_world, refused.value.tags["happened"])
    rml.guard("payment.charge", world="RML2").check()  # converges again by itself


def test_an_outage_is_logged_once_a_second(
    ledger: rml.Ledger,
    clock: rml.FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A log line for each call would bury what else is told of the outage."""
    guard = rml.guard("payment.charge")
    guard.check()
    blind(ledger, monkeypatch)
    clock.advance(1)

    for _ in range(3):
        guard.check()
    assert 1 == len(caplog.records)
    clock.advance(1)
    guard.check()
    assert 2 == len(caplog.records)


def test_what_was_never_known_is_refused(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts while the ledger is away begins nothing that may become history."""
    blind(ledger, monkeypatch)

    with pytest.raises(rml.LeverUnreadableError):
        rml.guard("payment.charge").check()


def test_a_lever_known_to_be_pulled_stays_so_while_blind(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losing sight of the ledger opens nothing."""
    pull(ledger)
    guard = rml.guard("payment.charge")
    with pytest.raises(rml.LeverPulledError):
        guard.check()
    blind(ledger, monkeypatch)
    clock.advance(3)

    with pytest.raises(rml.LeverPulledError):
        guard.check()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_worker_knows_and_learns(tmp_path: Path) -> None:
    """No lock and no thread are left behind by a fork."""
    script = """
import os, sys, rml
ledger = rml.Ledger(sys.argv[1], clock=rml.FrozenClock())
rml.configure(ledger=ledger)
guard = rml.guard("payment.charge")
guard.check()
rml.Levers().pull("payment.charge", by="Ada", reason="charges twice", force=True)
child = os.fork()
try:
    guard.check()
except rml.LeverPulledError:
    if child == 0:
        os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    command = [sys.executable, "-c", script, str(tmp_path / "ledger.db")]

    assert 0 == subprocess.run(command, check=False).returncode


# rml.guard at a function -------------------------------------------------------------------------


def test_guard_refuses_a_plain_function(ledger: rml.Ledger) -> None:
    """A function that is no protected handler gets a lever of its own."""
    sent: list[str] = []

    @rml.guard("mail.send", tenant="shop", region=lambda to: to.rpartition(".")[2])
    def send(to: str, shop: str) -> None:
        sent.append(to)

    send("a@example.com", "a")
    pull(ledger, "mail.send", tenant="b", region="com")
    send("a@example.com", shop="a")
    send("b@example.org", "b")
    with pytest.raises(rml.LeverPulledError, match="of tenant 'b' in region 'com'"):
        send("b@example.com", "b")

    assert 3 == len(sent)
    assert "send" == send.__name__


def test_guard_refuses_an_async_function(ledger: rml.Ledger) -> None:
    """It looks into the ledger off the event loop, and not at all while it knows."""

    @rml.guard("mail.send")
    async def send(to: str) -> str:
        return to

    async def twice() -> list[str]:
        return [await send("a"), await send("b")]

    assert ["a", "b"] == asyncio.run(twice())
    pull(ledger, "mail.send")
    with pytest.raises(rml.LeverPulledError):
        asyncio.run(send("c"))


def test_guard_works_in_either_order_with_idempotent(ledger: rml.Ledger) -> None:
    """Above or below, it refuses before the intent, and only what would begin."""

    @rml.guard("payments.all")
    @rml.idempotent("payment.one", key="key", lever=False)
    def above(key: str) -> str:
        return key

    @rml.idempotent("payment.two", key="key")
    @rml.guard("payments.all")
    @rml.guard("payments.more")
    def below(key: str) -> str:
        return key

    assert ["a", "a"] == [above("a"), below("a")]
    before = len(ledger.entries())
    pull(ledger, "payments.all")
    for handler in (above, below):
        assert "a" == handler("a")
        with pytest.raises(rml.LeverPulledError):
            handler("b")
    release(ledger, "payments.all")
    pull(ledger, "payments.more")
    assert "c" == above("c")
    with pytest.raises(rml.LeverPulledError):
        below("c")

    assert ["lever.pulled", "lever.released", "lever.pulled"] == [
        kind for kind in kinds(ledger)[before:] if kind.startswith("lever.")
    ]


def test_compensator_has_a_lever(ledger: rml.Ledger) -> None:
    """Undoing is history, too."""

    @rml.compensator("payment.refund")
    def refund(charge: rml.Effect) -> None: ...

    Charges("one")()
    effect = ledger.effects()[0]
    pull(ledger, "payment.refund")
    with pytest.raises(rml.LeverPulledError):
        refund(effect)
    release(ledger, "payment.refund")
    refund(effect)


def test_guard_out_of_reach_is_refused_where_it_is_written() -> None:
    """Between the intent and the handler it would leave a doubt."""
    import functools

    def traced(function: Any) -> Any:
        @functools.wraps(function)
        def timed(key: str) -> Any:
            return function(key)

        return timed

    with pytest.raises(rml.DefinitionError, match=r"write it above @rml\.idempotent"):

        @rml.idempotent("payment.charge", key="key")
        @traced
        @rml.guard("payments.all")
        def charge(key: str) -> None: ...

    with pytest.raises(rml.DefinitionError, match="leave out tenant= and region="):

        @rml.guard("payments.all", tenant="shop")
        @rml.idempotent("payment.charge", key="key", scope="shop")
        def charge_for(key: str, shop: str) -> None: ...


@pytest.mark.parametrize(
    ("operation", "options", "message"),
    [
        ("Payment", {}, "dotted lower-case words"),
        (None, {}, "dotted lower-case words"),
        ("a.b", {"look": -1}, "look must be at least 0 seconds"),
        ("a.b", {"blind": "long"}, "blind must be at least 0 seconds"),
        ("a.b", {"ledger": "payments.db"}, "ledger must be an rml.Ledger"),
    ],
)
def test_guard_that_makes_no_sense_is_refused(
    operation: Any, options: dict[str, Any], message: str
) -> None:
    """Where the module is imported."""
    with pytest.raises(rml.DefinitionError, match=message):
        rml.guard(operation, **options)
    with pytest.raises(rml.DefinitionError, match="names no parameter"):
        rml.guard("a.b", tenant="shop")(lambda key: key)


# Pulling -----------------------------------------------------------------------------------------


def test_pulling_twice_records_once(ledger: rml.Ledger) -> None:
    """Whoever pulls second learns who was first."""
    first = pull(ledger)

    second = pull(ledger, by="Tom", reason="me too")

    assert first == second
    assert ["lever.pulled"] == kinds(ledger)
    assert [first] == list(rml.Levers(ledger))
    assert "payment.charge" in repr(rml.Levers(ledger))


def test_releasing_what_is_not_pulled_records_nothing(ledger: rml.Ledger) -> None:
    """Also if a narrower lever is pulled: each is released as it was pulled."""
    pull(ledger, tenant="a")
    before = len(ledger.entries())

    assert release(ledger) is None
    assert release(ledger, tenant="b") is None
    assert before == len(ledger.entries())
    assert "a" == release(ledger, tenant="a").tenant


@pytest.mark.parametrize("name", ["tenant", "region"])
def test_a_name_that_nobody_has_is_refused(name: str, ledger: rml.Ledger) -> None:
    """It would stop nobody, and look like a containment; without any names, it stops all."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> None:
        """Do nothing."""

    charge("k1")
    typo: dict[str, Any] = {name: "shop-1", "force": False}
    assert "shop-1" == getattr(pull(ledger, **typo), name)
    release(ledger, **{name: "shop-1"})
    with rml.surrounded(**{name: "shop-7"}):
        charge("k2")

    with pytest.raises(rml.UnknownIdError, match=rf"{name} 'shop-1', but of shop-7;.*--force"):
        pull(ledger, **typo)
    assert not list(rml.Levers(ledger))
    for known in ({name: "shop-7", "force": False}, {**typo, "force": True}):
        pull(ledger, **known)
    assert 2 == len(list(rml.Levers(ledger)))


def test_unknown_operation_is_refused(ledger: rml.Ledger) -> None:
    """A typing mistake at three in the morning would stop nothing."""
    with pytest.raises(rml.UnknownIdError, match=r"it has none.*--force"):
        pull(ledger, force=False)
    Charges("one")()

    with pytest.raises(rml.UnknownIdError, match=r"the newest are of payment\.charge"):
        pull(ledger, "payment.chrage", force=False)
    assert "payment.charge" == pull(ledger, force=False).operation


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": ""}, "give a name"),
        ({"by": None}, "give a name"),
        ({"reason": " "}, "reason"),
        ({"operation": "Payment Charge"}, "dotted lower-case words, such as 'payment.charge', or"),
        ({"tenant": ""}, "tenant"),
        ({"region": 7}, "region must be text"),
        ({"force": "yes"}, "force"),
    ],
)
def test_pull_says_what_it_lacks(ledger: rml.Ledger, options: dict[str, Any], message: str) -> None:
    """Nothing is half-written."""
    with pytest.raises(rml.InvalidInputError, match=message):
        pull(ledger, **options)

    assert [] == kinds(ledger)


def test_pulling_for_a_case_contains_it(ledger: rml.Ledger) -> None:
    """One commit: the lever and the step; releasing lifts the mitigation."""
    case = rml.Casebook(ledger)[rml.escalate("twice", operation="payment.charge").id]

    lever = pull(ledger, incident=case.id)
    pull(ledger, incident=case.id)
    release(ledger)

    assert case.id == lever.incident
    told = [entry for entry in case.entries if entry.kind.startswith("incident.")]
    _, contained, lifted = told
    assert "incident.contained" == contained.kind
    assert {"flag_off", lever.entry} <= set(contained.facts.values())
    assert "incident.mitigation_lifted" == lifted.kind
    assert contained.id == lifted.facts["mitigation"]


def test_a_lever_that_is_pulled_contains_another_case_once(ledger: rml.Ledger) -> None:
    """Two incidents may have one cause."""
    pull(ledger)
    case = rml.Casebook(ledger)[rml.escalate("twice", operation="payment.charge").id]

    for _ in range(2):
        pull(ledger, incident=case.id)

    assert 1 == len([entry for entry in case.entries if entry.kind == "incident.contained"])
    assert 1 == kinds(ledger).count("lever.pulled")


def test_pulling_for_no_case_is_refused(ledger: rml.Ledger) -> None:
    """The lever is not pulled under a wrong name."""
    with pytest.raises(rml.UnknownIdError, match="INC-2026-0009"):
        pull(ledger, incident="INC-2026-0009")

    assert [] == kinds(ledger)


def test_two_pull_at_once_and_one_entry_is_made(ledger: rml.Ledger) -> None:
    """Commits come one after the other."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        levers = list(pool.map(lambda n: pull(ledger, by=f"p{n}"), range(8)))

    assert 1 == len(set(levers))
    assert ["lever.pulled"] == kinds(ledger)


# The entries alone tell --------------------------------------------------------------------------

MOVES = st.lists(
    st.tuples(
        st.sampled_from(["pull", "release"]),
        st.sampled_from(["payment.charge", "*"]),
        st.sampled_from([None, "a"]),
    ),
    max_size=12,
)


@given(MOVES, st.randoms(use_true_random=False))
def test_what_is_pulled_follows_from_the_entries_in_any_order(
    moves: list[tuple[str, str, str | None]], random: Any
) -> None:
    """A process that reads them late, twice or shuffled knows the same."""
    expected: dict[tuple[str, str | None], bool] = {}
    with rml.Ledger("memory:") as ledger:
        levers = Levers(ledger)
        for move, operation, tenant in moves:
            said = {"by": "Ada", "reason": "because", "tenant": tenant}
            if move == "pull":
                levers.pull(operation, **said, force=True)
            else:
                levers.release(operation, **said)
            expected[operation, tenant] = move == "pull"
        entries = list(ledger.entries())
        shuffled = [*entries, *entries]
        random.shuffle(shuffled)
        half = len(shuffled) // 2
        states = LeverStates().told(shuffled[:half]).told(shuffled[half:])

        standing = {(lever.operation, lever.tenant) for lever in states.pulled}
        assert {about for about, is_pulled in expected.items() if is_pulled} == standing
        assert states.pulled == list(levers)


def test_nobody_is_everybody() -> None:
    """A number as a tenant is its text; what is not told is no name."""
    assert Whose(frozenset({"7", "a"}), frozenset()) == Whose.of("a", {"tenant": 7})
