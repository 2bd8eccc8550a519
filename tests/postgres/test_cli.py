"""`rml init`, `rml copy` and the other commands on a ledger in PostgreSQL."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import postgres_server
import psycopg
import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main
from rml.ledger.errors import NewerFormatError, NotALedgerError
from rml.stores.postgres_place import place_of


def run(*words: str) -> Result:
    """What the command line answers."""
    return CliRunner().invoke(main, list(words))


def filled(place: str | Path, clock: rml.FrozenClock, **given: str) -> None:
    """A ledger with entries, values beside them, an erasure, and an effect in flight."""
    with rml.Ledger(place, clock=clock, **given) as ledger:
        for number in range(300):
            personal = {"email": f"{number}@example.com"} if number % 7 == 0 else None
            receipt = ledger.append(
                "order.noted", world="RML3", facts={"n": number}, personal=personal
            )
            if number == 7:
                ledger.erase(receipt.id, fields=["email"], reason="asked for", by="ann")
        with pytest.raises(RuntimeError), rml.use(ledger=ledger):
            _charge("pay-1")


@rml.idempotent("copied.charge", key=lambda key: key, world="RML3")
def _charge(key: str) -> None:
    raise RuntimeError("nobody knows")


def test_init_twice_changes_nothing(server: str) -> None:
    """The second time there is nothing to apply, and the origin stays."""
    url = postgres_server.new_schema(server)

    first = run("init", url, "--origin", "example.com/shop", "--json")
    again = run("init", url, "--json")

    assert (0, 0) == (first.exit_code, again.exit_code)
    assert [1] == json.loads(first.output)["applied"]
    assert ([], "example.com/shop") == (
        json.loads(again.output)["applied"],
        json.loads(again.output)["origin"],
    )
    assert "up to date" in run("init", url).output


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_several_that_start_at_once_make_one_ledger(server: str, isolation: str) -> None:
    """They take turns, and agree on the origin, whatever isolation is the database's default."""
    url = postgres_server.new_schema(server)
    setting = isolation.replace(" ", "\\ ")
    url += f"&options={quote(f'-c default_transaction_isolation={setting}')}"
    results: list[Result] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(_initialised(url)),
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len({found.origin for found in results})
    assert [(), (), (), (1,)] == sorted(found.applied for found in results)


def _initialised(url: str) -> object:
    from rml.stores.postgres_schema import initialise
    from rml.testing.stores import opening_of

    return initialise(opening_of(url))


def test_who_was_given_a_schema_need_not_be_able_to_make_one(server: str) -> None:
    """As where an administrator makes schemas and gives them away."""
    role, parts = f"team_{uuid4().hex[:8]}", urlsplit(postgres_server.new_schema(server))
    schema = place_of(urlunsplit(parts)).schema
    host = parts.netloc.rpartition("@")[2]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'app'")
        try:
            connection.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
            result = run("init", urlunsplit(parts._replace(netloc=f"{role}:app@{host}")))
            assert 0 == result.exit_code, result.output
        finally:
            connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_who_may_not_make_the_schema_is_told_who_may(server: str, tmp_path: Path) -> None:
    """A program's role is granted nothing that would help."""
    role, parts = f"team_{uuid4().hex[:8]}", urlsplit(postgres_server.new_schema(server))
    url = urlunsplit(parts._replace(netloc=f"{role}:app@{parts.netloc.rpartition('@')[2]}"))
    rml.Ledger(tmp_path / "a.db").close()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'app'")
        try:
            results = [run("init", url), run("copy", str(tmp_path / "a.db"), url)]
        finally:
            connection.execute(f"DROP ROLE {role}")

    for result in results:
        assert 2 == result.exit_code
        assert f"'{role}' may not make it" in result.output


def test_a_schema_without_a_ledger_says_how_to_make_one(server: str) -> None:
    """Opening makes nothing."""
    with pytest.raises(NotALedgerError, match="rml init"):
        rml.Ledger(postgres_server.new_schema(server))


def test_a_schema_of_somebody_else_is_left_alone(server: str) -> None:
    """A ledger needs one of its own."""
    url = postgres_server.new_schema(server)
    schema = place_of(url).schema
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema} CREATE TABLE orders (id int)")

    result = run("init", url)

    assert 2 == result.exit_code
    assert "a schema of its own" in str(result.output)


def test_a_newer_schema_is_refused(url: str, server: str) -> None:
    """By opening and by `init`."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"INSERT INTO {place_of(url).schema}.migrations (version) VALUES (99)")

    with pytest.raises(NewerFormatError, match="upgrade rml"):
        rml.Ledger(url)
    assert 2 == run("init", url).exit_code


def test_a_copy_is_the_same_ledger_there_and_back(
    server: str, tmp_path: Path, clock: rml.FrozenClock
) -> None:
    """From a file to PostgreSQL and into another file: entries, values, leases, root."""
    first, there, back = tmp_path / "a.db", postgres_server.new_schema(server), tmp_path / "b.db"
    filled(first, clock, origin="example.com/shop")

    for source, target in ((str(first), there), (there, str(back))):
        result = run("copy", source, target, "--json")
        assert 0 == result.exit_code, result.output

    with rml.Ledger(first) as old, rml.Ledger(there) as shared, rml.Ledger(back) as new:
        expected = old._store.head()
        for copy in (shared, new):
            assert list(old._store.rows())[5].data == list(copy._store.rows())[5].data
            assert [row.personal for row in old._store.rows()] == [
                row.personal for row in copy._store.rows()
            ]
            assert old._store.leases() == copy._store.leases()
            assert expected == copy._store.head()
            assert copy.verify().ok
        assert ["in_doubt"] == [effect.state for effect in shared.in_doubt()]


def test_an_interrupted_copy_goes_on(
    server: str, tmp_path: Path, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the source has erased meanwhile what was copied already."""
    file, target = tmp_path / "a.db", postgres_server.new_schema(server)
    filled(file, clock)
    monkeypatch.setattr("rml.ledger.exports.copying.PAGE_ENTRIES", 100)

    def stop(step: str, done: int, of: int) -> None:
        if done >= 100:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, rml.Ledger(file) as old:
        patch.setitem(vars(sys.modules["rml.cli.copy"]), "bars", lambda: _lending(stop))
        assert 0 != run("copy", str(file), target).exit_code
        (entry,) = [e for e in old.entries() if e.facts.get("n") == 14]
        old.erase(entry.id, fields=["email"], reason="asked for", by="ann")

    assert 0 == run("copy", str(file), target).exit_code
    with rml.Ledger(target) as shared:
        assert {} == dict(shared.entry(entry.id).personal)
        assert shared.verify().ok


def _lending(tell: Callable[[str, int, int], None]) -> object:
    from contextlib import nullcontext

    return nullcontext(tell)


# It dies once its first page is durable and nobody has sealed it, or with a page not yet committed.
DYING = """
import os, sys
from contextlib import nullcontext
from rml.cli import main
from rml.ledger.exports import copying

*places, when = sys.argv[1:]
appending = copying._appending

def die(*_):
    os.kill(os.getpid(), 9)

def told(step, done, of):
    if done and when == "committed":
        die()

def dying(page):
    work = appending(page)
    return lambda transaction: (work(transaction), die())

copying.PAGE_ENTRIES = 100
sys.modules["rml.cli.copy"].bars = lambda: nullcontext(told)
if when == "sent":
    copying._appending = dying
main(["copy", *places])
"""


def test_a_copy_that_is_killed_goes_on(server: str, tmp_path: Path, clock: rml.FrozenClock) -> None:
    """Wherever it was: what it committed and nobody had sealed is there once."""
    file, url = tmp_path / "a.db", postgres_server.new_schema(server)
    with rml.Ledger(file, clock=clock) as ledger:
        ledger.write(lambda draft: [draft.append("order.noted", world="RML3") for _ in range(400)])
    for when in ("committed", "sent"):
        copying = subprocess.run([sys.executable, "-c", DYING, file, url, when], check=False)
        assert -9 == copying.returncode

    result = run("copy", str(file), url, "--json")

    assert 0 == result.exit_code, result.output
    with rml.Ledger(file) as old, rml.Ledger(url) as new:
        assert old.verify().root == new.verify().root


def test_a_copy_knows_what_was_pruned(
    server: str, tmp_path: Path, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that was between its two halves."""
    file, target = tmp_path / "a.db", postgres_server.new_schema(server)
    filled(file, clock)
    monkeypatch.setattr("rml.ledger.exports.copying.PAGE_ENTRIES", 100)

    def stop(step: str, done: int, of: int) -> None:
        if done >= 200:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, rml.Ledger(file, clock=clock) as old:
        patch.setitem(vars(sys.modules["rml.cli.copy"]), "bars", lambda: _lending(stop))
        assert 0 != run("copy", str(file), target).exit_code
        old.prune(before=old.size, reason="it is old", by="ann")
        expected = [row.personal for row in old._store.rows()]
        assert sum(value is not None for value in expected) <= 2  # of the effect in flight

    assert 0 == run("copy", str(file), target).exit_code
    with rml.Ledger(target) as shared:
        assert expected == [row.personal for row in shared._store.rows()]
        assert shared.verify().ok


def test_a_copy_onto_another_ledger_is_refused(
    url: str, tmp_path: Path, clock: rml.FrozenClock
) -> None:
    """And nothing of it is changed."""
    file = tmp_path / "a.db"
    filled(file, clock)

    result = run("copy", str(file), url)

    assert 2 == result.exit_code
    assert "is the ledger" in result.output


def test_the_commands_know_a_ledger_in_postgresql(url: str, clock: rml.FrozenClock) -> None:
    """They are the same for every store, and none shows a password."""
    filled(url, clock)

    for words in (("verify",), ("tail", "-n", "2"), ("effects",), ("doctor",)):
        result = run(*words, "--ledger", url)
        assert result.exit_code in {0, 1}, (words, result.output)
    secret = "postgresql://app:s3cret@127.0.0.1:1/none"
    assert "s3cret" not in run("verify", "--ledger", secret).output
    assert "s3cret" not in run("doctor", "--ledger", secret).output
    assert "damaged file" not in run("doctor", "--ledger", secret).output


def test_a_command_that_records_says_where(url: str) -> None:
    """An entry gets its place after its commit; the command waits for it."""
    with rml.Ledger(url) as ledger:
        charged = ledger.append("payment.charged", world="RML3", facts={"amount": 500})
        opened = ledger.append("order.noted", world="RML3")
    act = ("--by", "ada", "--reason", "twice", "--ledger", url)

    told = run("correct", opened.id, "order.mended", *act)
    shaped = run("correct", charged.id, "payment.refunded", "--amount", "5", *act, "--json")
    registered = run("cases", "migration", "split", "--reversible", "--by", "ada", "--ledger", url)

    assert "(entry 2, " in told.output
    assert 3 == json.loads(shaped.output)["index"]
    assert "(entry 4, " in registered.output


def test_datasette_is_given_no_questions_about_a_server(url: str, tmp_path: Path) -> None:
    """It opens files only; a name says that there will be one."""
    file = str(tmp_path / "datasette.json")
    refused = run("export", "datasette", file, "--ledger", url)
    named = run("export", "datasette", file, "--database", "payments", "--ledger", url)

    assert (2, 0) == (refused.exit_code, named.exit_code)
    assert "rml copy" in refused.output
