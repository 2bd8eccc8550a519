"""The hand-written reference is complete: every error, every kind and its facts, every column."""

import ast
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import rml
from rml.error import RmlError
from rml.ledger.entry import RESERVED_KINDS

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
SOURCE = ROOT / "src" / "rml"
SECTION = re.compile(r"^### (?P<head>.*)\n(?P<body>(?:(?!^##).*\n)*)", re.MULTILINE)


def page(name: str) -> str:
    """Return a page of the reference."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def sections(name: str) -> dict[str, str]:
    """Return a page's third-level sections by the name in their heading."""
    found = SECTION.finditer(page(name))
    return {match["head"].strip("`"): match["body"] for match in found}


def words(text: str) -> set[str]:
    """Return what stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


# ---------------------------------------------------------------------------------------- errors


def library_errors() -> list[type[RmlError]]:
    """Return the error classes that the front door offers."""
    offered = [getattr(rml, name) for name in rml.__all__]
    return [one for one in offered if isinstance(one, type) and issubclass(one, RmlError)]


def row_of(kind: type[RmlError]) -> str:
    """Return how the row of an error begins."""
    tags = kind.declared_tags()
    happened = f"`{kind().happened}`"
    return (
        f"| `rml.{kind.__name__}` | `{kind.code}` | {tags['world'].value} "
        f"| `{tags['action'].value}` | {happened} | "
    )


def test_every_error_has_a_row_that_is_true() -> None:
    """Class, code, world, action and what it knows of the effect."""
    text = page("errors.md")

    assert [] == [row for row in map(row_of, library_errors()) if text.count(row) != 1]


def test_every_row_is_an_error_of_the_front_door() -> None:
    """The page names nothing that has gone, and everybody can catch what it names."""
    named = re.findall(r"^\| `rml\.(\w+)`", page("errors.md"), re.MULTILINE)

    assert sorted(kind.__name__ for kind in library_errors()) == sorted(named)


# ----------------------------------------------------------------------------------------- kinds


def kinds_in_the_source() -> set[str]:
    """Return every text of the source that is a kind of the library's own."""
    kind = re.compile(rf"({'|'.join(sorted(RESERVED_KINDS - {'rml'}))})\.[a-z_]+")
    texts = (
        node.value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {text for text in texts if kind.fullmatch(text)}


def documented_kinds() -> dict[str, str]:
    """Return the sections of the page that are about a kind."""
    return {name: body for name, body in sections("kinds.md").items() if "." in name}


def test_every_kind_has_a_section() -> None:
    """The page lists the kinds that the source records, and no others."""
    assert kinds_in_the_source() == documented_kinds().keys()


class Declined(rml.DialogError):
    """Declined."""

    code = "TEST_DECLINED"
    happened = False


class Unclear(rml.DialogError):
    """Unclear."""

    code = "TEST_UNCLEAR"


class Useless(rml.DialogError):
    """Useless."""

    code = "TEST_USELESS"
    action = rml.Action.START_COMPENSATION


class Certain(rml.DialogError):
    """Certain."""

    code = "TEST_CERTAIN"
    happened = True


class Hurt(rml.HistoryError):
    """Hurt."""

    code = "TEST_HURT"


@pytest.fixture
def ledger() -> Iterator[rml.Ledger]:
    """Return a ledger in which every kind has been recorded, with every fact that it may have."""
    clock = rml.FrozenClock("2026-11-20T19:00:00Z")
    with rml.Ledger("memory:", clock=clock, service="tests") as made, rml.use(ledger=made):
        record_effects(made, clock)
        record_sagas(made)
        record_pendings(made, clock)
        record_levers(made)
        record_incidents(made)
        with rml.Ledger("memory:") as other:
            rml.LedgerAnchor(made).keep(other.checkpoint(), other.prove_consistency)
        yield made


def run(operation: str, end: object, **options: object) -> Callable[..., object]:
    """Call a protected handler that ends in a given way, and forget how it ended."""

    @rml.idempotent(operation, key="key", facts=("amount",), personal=("email",), **options)  # type: ignore[arg-type]
    def handler(key: str, amount: int, email: str) -> object:
        value = end() if callable(end) and not isinstance(end, type) else end
        if isinstance(value, type) and issubclass(value, BaseException):
            raise value
        return value

    def call(key: str = "k") -> object:
        with suppress(Exception):
            return handler(key, 5, "ada@example.com")
        return None

    call()
    return call


def record_effects(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Let effects end in every way."""
    run("test.done", "value")
    (done,) = ledger.entries(kind="effect.done")
    run("test.done", object(), scope=lambda: "s", corrects=lambda: done.id)
    run("test.certain", Certain)
    run("test.declined", Declined)()
    run("test.retrying", Unclear, provider_idempotent=True)
    run("test.failed", Useless)
    run("test.history", Hurt)
    run("test.doubt", Unclear)
    (doubt,) = ledger.in_doubt()
    ledger.resolve(doubt.id, happened=True, by="Ada", reason="seen", result="value")

    def loses_its_lease(ending: object) -> Callable[[], object]:
        def end() -> object:
            clock.advance(100)
            (effect,) = ledger.in_doubt()
            rml.reconcile()
            ledger.resolve(effect.id, happened=False, by="Ada", reason="seen")
            return ending

        return end

    for number, ending in enumerate(("value", object(), Unclear)):
        run("test.late", loses_its_lease(ending))(str(number))
    (done, *_) = ledger.entries(kind="effect.done")
    ledger.erase(done.id, ["rml.result"], by="Ada", reason="asked")


def record_sagas(ledger: rml.Ledger) -> None:
    """Let sagas end in every way."""

    @rml.idempotent("test.step", key="key")
    def step(key: str) -> None: ...

    @rml.compensator("test.undo", attempts=1)
    def undo(effect: rml.Effect) -> None:
        if effect.key == "stuck":
            raise Declined

    @rml.saga("test.saga", key="key", steps={step: undo}, facts=("amount",))
    def saga(key: str, amount: int, end: str = "") -> object:
        step(key)
        if key in {"undone", "stuck"}:
            raise Useless
        return object() if key == "no value" else "value"

    for key in ("done", "no value", "undone", "stuck"):
        with suppress(rml.RmlError):
            saga(key, 5)


def record_pendings(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Let pendings end in every way, and prune."""
    facts = {"amount": 5, "currency": "EUR"}
    confirmed, voided, _ = (
        ledger.pend("test.hold", world="RML3", facts=facts, expires_in=1).id for _ in range(3)
    )
    clock.advance(1)
    ledger.confirm(confirmed, by="Ada")
    ledger.void(voided, by="Ada", reason="not wanted")
    ledger.expire()
    ledger.prune(1, by="Ada", reason="old")


def record_levers(ledger: rml.Ledger) -> None:
    """Do something in a region of a tenant, count it, and stop it there for a while."""

    @rml.idempotent("test.placed", key="key")
    def placed(key: str) -> None: ...

    with rml.surrounded(tenant="t", region="r"):
        placed("k")
    case = rml.Casebook(ledger)[rml.escalate("misplaced", operation="test.placed").id]
    said = {"by": "Ada", "reason": "just so", "tenant": "t", "region": "r"}
    rml.Levers(ledger).pull("test.placed", **said, incident=case.id)
    rml.Levers(ledger).release("test.placed", **said)
    case.count_impact(operation="test.placed", user="key", by="Ada")


def record_incidents(ledger: rml.Ledger) -> None:
    """Let a case take every step."""

    def broken(_: rml.Escalation) -> None:
        raise OSError

    rml.configure(hooks=[broken])
    for _ in range(2):
        rml.escalate(
            "twice",
            operation="test.done",
            by="Ada",
            details={"count": 2},
            criteria=["security"],
        )
    rml.configure(hooks=None)
    for crossing in (Hurt(), Unclear(), ValueError("a bug")):
        with suppress(type(crossing)), rml.boundary("test.work"):
            raise crossing
    newest = ledger.entries(kind="incident.opened", newest_first=True, limit=1)[0]
    case = rml.Casebook(ledger)[str(newest.incident)]
    case.detect("more", by="Ada", detected_by={"type": "alert", "source": "slo"})
    off = case.contain("off", by="Ada", lever="flag_off", temporary=True)
    case.lift(off.id, "on again", by="Ada")
    lead_a_case(case)
    effect = ledger.effects(operation="test.done")[0]
    case.understand(
        "what",
        by="Ada",
        severity="SEV-2",
        priority="P1",
        asset=["money"],
        exposure=["money_moved"],
        harmed=[effect.id],
        root_cause="no key",
        started_at=ledger.clock.now(),
        evidence="the books",
        users=1,
        transactions=1,
        users_estimate=2,
        transactions_estimate=2,
        query="counted",
        criteria=["unknown-impact"],
    )
    case.understand("no harm", by="Ada", unharmed=[effect.id], evidence="the books")
    case.understand("harm after all", by="Ada", harmed=[effect.id])
    roll_back(rml.Casebook(ledger), case)
    case.triage("lost answers", by="Ada", runbook="runbooks/lost-answers.md")
    case.triage("model_provider_outage", by="Ada")
    skip = {"flag_off": "it has no flag"}
    rml.Casebook(ledger).runbook(
        "slow", "runbooks/slow.md", pull=["deploy_rollback"], skip=skip, by="Ada"
    )
    case.triage("slow", by="Ada")
    case.set_private(private=True, by="Ada", reason="a leak")
    case.read_evidence(off.id, by="Ada", reason="who was it")
    names = {"business": "Tom", "sre": "Ada"}
    first = case.decide("refund", decided_by=names, absent={"legal": "asleep"}, plan=["refund"])
    case.decide("refund all", decided_by={**names, "legal": "Rosa"}, amends=first.id)
    case.decide("say so", decided_by=names, disclosure=["tos_based"], absent={"legal": "asleep"})
    case.act("refund", by="Tom", detail="all", corrections=[first.id], override="a drill")
    case.act("mail", by="Tom", template_id="t", channel="email", count=1)
    change = {"what": "a key", "kind": "code", "owner": "Ada", "due": "2026-12-01"}
    case.learn(by="Ada", technical=["a"], process=["b"], governance=["c"], changes=[change])
    case.learn(by="Ada", technical=["d"], unchanged="it is in the terms")
    case.complete("a key", by="Ada")
    attended = {"business": "Tom", "sre": "Ada"}
    case.postmortem(by="Ada", attended=attended, absent={"legal": "ill"}, link="pm/1")
    case.move("monitoring", by="Ada", reason="quiet")
    case.downscope("RML2", by="Ada", reason="less", evidence="Q-7")
    case.confirm("resolution", by="Ada", evidence="looked")
    case.cost("refund", "12.50", "EUR", by="Tom", detail="one customer")
    case.all_clear("thank you", by="Tom")
    case.close(by="Tom")
    case.reopen(by="Tom", reason="one more")


def roll_back(book: rml.Casebook, case: rml.Case) -> None:
    """Let a case be rolled back as far as what is registered allows."""
    book.known_good("shop 1.4.2", by="ci")
    book.migration("0041", reversible=True, by="ci")
    case.contain("as it was", by="Ada", lever="last_known_good")
    case.contain("undone", by="Ada", lever="migration_rollback")
    book.migration("0042", reversible=False, by="ci")
    with suppress(rml.StepRefusedError):
        case.contain("undone", by="Ada", lever="migration_rollback")


def lead_a_case(case: rml.Case) -> None:
    """Let a case be led: roles, orders, updates, notes, links."""
    case.take("commander", by="Ada")
    case.take("scribe", by="Tom")
    case.leave("scribe", by="Tom")
    case.hand_over(to="Tom", by="Ada", briefing="all of it")
    case.accept(by="Tom")
    case.update("bad", action="off", need="none", to="leadership", by="Tom", next_minutes=15)
    case.tell("called them", to=["tech_lead"], by="Tom", paged=["Ada"])
    order = case.order("switch it off", to="Ada", by="Tom")
    case.read_back(order.id, "switch it off", by="Ada")
    case.confirm_order(order.id, by="Tom")
    guess = case.note("a retry", board="hypothesis", by="Ada", because="x", disproof="y")
    case.note("no retry", board="know", by="Ada", ends=guess.id)
    case.link("caused_by", "INC-2025-0001", by="Ada")
    case.workstream("stop it", lead="Ada", channel="#a", document="notes", by="Tom")
    case.act("page", by="Ada", override="nobody is awake")


def test_every_fact_that_is_recorded_is_listed(ledger: rml.Ledger) -> None:
    """What stands in an entry, or beside it, is on the page; the page's facts all occur."""
    recorded: dict[str, set[str]] = defaultdict(set)
    for entry in ledger.entries():
        own = {"amount", "email"} if entry.kind in {"effect.intent", "saga.started"} else set()
        recorded[entry.kind] |= (entry.facts.keys() | entry.commitments.keys()) - own
    pages = documented_kinds()

    assert pages.keys() == recorded.keys()
    listed = {kind: words(body) for kind, body in pages.items()}
    assert {} == {k: names - listed[k] for k, names in recorded.items() if names - listed[k]}
    facts = {
        k: words("".join(re.findall(r"^\| (`.*?) \|", b, re.MULTILINE))) for k, b in pages.items()
    }
    assert {} == {k: names - recorded[k] for k, names in facts.items() if names - recorded[k]}


# ------------------------------------------------------------------------------------------ file


def test_every_table_and_column_is_described(tmp_path: Path) -> None:
    """Who opens the file with another program finds each name on the page."""
    place = tmp_path / "ledger.db"
    rml.Ledger(place).close()
    connection = sqlite3.connect(place)
    tables = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE TABLE%'"
        )
    ]
    described = sections("file-format.md")

    for table in tables:
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        assert set() == columns - words(described[table]), table
    metas = {row[0] for row in connection.execute("SELECT name FROM meta")}
    connection.close()
    assert set() == metas - words(described["meta"])
    assert "history" in described
