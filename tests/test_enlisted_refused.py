"""What cannot be committed together is refused, and what may live beside a ledger in its file."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import rml


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[rml.Ledger]:
    """Return a ledger."""
    with rml.Ledger(tmp_path / "shop.db", timeout=1) as ledger:
        yield ledger
        assert 0 == ledger.size


@pytest.fixture
def db(ledger: rml.Ledger, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection to the ledger's file."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        yield connection


def refusal(ledger: rml.Ledger, connection: object) -> str:
    """Return why a connection is refused."""
    with pytest.raises(rml.EnlistmentError) as caught:
        ledger.on(connection)
    return str(caught.value)


# Connections --------------------------------------------------------------------------------------


def test_another_file_is_refused(ledger: rml.Ledger, tmp_path: Path) -> None:
    """Whether it is a file, or none."""
    for place in (tmp_path / "other.db", ":memory:"):
        with closing(sqlite3.connect(place)) as other:
            assert "not to the file of the ledger" in refusal(ledger, other)
            assert not other.in_transaction


def test_an_attached_ledger_is_refused(ledger: rml.Ledger, tmp_path: Path) -> None:
    """SQLite commits several files one by one when they have write-ahead logs."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("ATTACH ? AS ledger", [str(tmp_path / "shop.db")])

        assert "does not commit several files as one" in refusal(ledger, other)


def test_a_link_to_the_file_will_do(ledger: rml.Ledger, tmp_path: Path) -> None:
    """What counts is the file, whatever name leads to it."""
    (tmp_path / "link.db").symlink_to(tmp_path / "shop.db")
    with closing(sqlite3.connect(tmp_path / "link.db")) as connection:
        assert isinstance(ledger.on(connection), rml.Enlisted)


@pytest.mark.parametrize("level", ["OFF", "NORMAL"])
def test_a_commit_that_may_be_lost_is_refused(
    ledger: rml.Ledger, db: sqlite3.Connection, level: str
) -> None:
    """An outcome that was told must not be gone after a power failure."""
    db.execute(f"PRAGMA synchronous = {level}")
    assert "PRAGMA synchronous = FULL" in refusal(ledger, db)

    db.execute("PRAGMA synchronous = EXTRA")
    assert isinstance(ledger.on(db), rml.Enlisted)


@pytest.mark.parametrize("mode", ["OFF", "MEMORY"])
def test_a_journal_that_takes_nothing_back_is_refused(tmp_path: Path, mode: str) -> None:
    """Or the rows of a handler that raised would stay, and its key would be free."""
    rml.Ledger(tmp_path / "shop.db").close()
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        with rml.Ledger(tmp_path / "shop.db") as ledger:
            assert "PRAGMA journal_mode = WAL" in refusal(ledger, db)


def test_no_transaction_is_refused_where_nobody_would_commit_it(
    ledger: rml.Ledger, tmp_path: Path
) -> None:
    """A connection that commits by itself has one only when it is told to."""
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as db:
        assert "BEGIN IMMEDIATE" in refusal(ledger, db)
        assert not db.in_transaction

        db.execute("BEGIN IMMEDIATE")
        assert isinstance(ledger.on(db), rml.Enlisted)


def test_a_temporary_table_in_front_of_the_ledgers_is_refused(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """Its name would mean that table, which is gone with the connection."""
    db.execute("CREATE TEMP TABLE Entries (id)")
    assert "hides the ledger's entries" in refusal(ledger, db)


@pytest.mark.parametrize("connection", [None, "shop.db", object()], ids=["None", "text", "object"])
def test_what_is_no_connection_is_refused(ledger: rml.Ledger, connection: object) -> None:
    """The message names the libraries that are known."""
    why = refusal(ledger, connection)

    assert "is no connection that rml knows" in why
    assert "sqlite3.Connection" in why
    assert "AsyncConnection" in why


def test_a_ledger_in_memory_joins_nothing() -> None:
    """No other connection could be to the same database."""
    with closing(sqlite3.connect(":memory:")) as db:
        for place, reason in (("memory:", "joins no"), ("sqlite://:memory:", "is in no file")):
            with rml.Ledger(place) as ledger:
                assert reason in refusal(ledger, db)


def test_a_closed_ledger_or_connection_says_so(tmp_path: Path) -> None:
    """In the words of each."""
    ledger = rml.Ledger(tmp_path / "shop.db")
    db = sqlite3.connect(tmp_path / "shop.db")
    db.close()
    with pytest.raises(rml.LedgerUnavailableError, match="closed database"):
        ledger.on(db)
    ledger.close()
    with pytest.raises(rml.LedgerUnavailableError, match="the ledger is closed"):
        ledger.on(db)


def test_a_connection_that_only_reads_says_so(ledger: rml.Ledger, tmp_path: Path) -> None:
    """Before the handler runs, whether or not the transaction has begun."""
    uri = f"{(tmp_path / 'shop.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        with pytest.raises(rml.LedgerUnavailableError, match="read-only"):
            ledger.on(db)


def test_a_draft_is_no_place_to_join_from(ledger: rml.Ledger, db: sqlite3.Connection) -> None:
    """Its own transaction holds the lock that the other one would wait for."""
    with pytest.raises(rml.InvalidInputError, match="from inside its own transaction"):
        ledger.write(lambda _: ledger.on(db))


# Definitions --------------------------------------------------------------------------------------


def _plain(db: Any, key: str) -> None:
    """Stand for a handler."""


@pytest.mark.parametrize(
    ("handler", "options", "reason"),
    [
        (_plain, {"connection": "db", "wait": 1}, "leave out wait="),
        (_plain, {"connection": "db", "provider_idempotent": True}, "provider_idempotent="),
        (_plain, {"connection": "session"}, "connection='session' names no parameter"),
        (_plain, {"connection": 7}, "connection must be a parameter's name"),
    ],
)
def test_a_definition_that_says_nothing_is_refused(
    handler: Callable[..., Any], options: dict[str, Any], reason: str
) -> None:
    """When the handler is decorated."""
    with pytest.raises(rml.DefinitionError, match=reason):
        rml.idempotent("order.place", key="key", **options)(handler)


def test_the_connection_may_be_picked_from_what_holds_it(tmp_path: Path) -> None:
    """From an attribute, of a method's own object too, or by a function of the arguments."""

    class Shop:
        def __init__(self, db: sqlite3.Connection) -> None:
            self.db = db

        @rml.idempotent("order.place", key="key", connection="self.db")
        def place(self, key: str) -> str:
            return key

    @rml.idempotent("order.move", key="key", connection="shop.db")
    def move(shop: Shop, key: str) -> str:
        return key

    @rml.idempotent("order.end", key="key", connection=lambda shop: shop.db, exclude=["shop"])
    def end(shop: Shop, key: str) -> str:
        return key

    path = tmp_path / "shop.db"
    with rml.Ledger(path) as ledger, rml.use(ledger=ledger):
        with closing(sqlite3.connect(path)) as db, db:
            shop = Shop(db)
            assert ["o-1"] * 3 == [shop.place("o-1"), move(shop, "o-1"), end(shop, "o-1")]
        again = Shop(db)
        assert ["o-1"] * 3 == [again.place("o-1"), move(again, "o-1"), end(again, "o-1")]
        assert 6 == ledger.size


# A file that is shared ----------------------------------------------------------------------------

GUESTS = """
CREATE TABLE orders (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, entries TEXT);
CREATE INDEX orders_entries ON orders (entries);
CREATE TABLE log (message TEXT);
CREATE TRIGGER orders_log AFTER UPDATE OF entries ON orders
BEGIN INSERT INTO log SELECT kind FROM entries; UPDATE orders SET entries = NEW.entries; END;
INSERT INTO orders (id) VALUES ('o-1');
ANALYZE;
"""


def test_a_ledger_is_created_beside_tables_only_when_that_is_said(tmp_path: Path) -> None:
    """A wrong path must not put a ledger into somebody's database; later, no word is needed."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE orders (id)")
    before = path.read_bytes()

    for options in ({}, {"adopt": True, "create": False}):
        with pytest.raises(rml.NotALedgerError, match="adopt=True"):
            rml.Ledger(path, **options)
    assert before == path.read_bytes()

    with rml.Ledger(path, adopt=True) as ledger:
        ledger.append("some.thing", world="RML1")
    with rml.Ledger(path) as ledger:
        assert ledger.verify().ok
    with rml.Ledger(path, adopt=True) as ledger:
        assert 1 == ledger.size


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE Entries (id)", "it has entries already"),
        ("CREATE VIEW history AS SELECT 1", "it has history already"),
        ("PRAGMA user_version = 7", "application_id or user_version is in use"),
        ("PRAGMA application_id = 7", "application_id or user_version is in use"),
        ("PRAGMA encoding = 'UTF-16'", "not UTF-8"),
    ],
)
def test_what_cannot_live_beside_a_ledger_is_left_as_it_is(
    tmp_path: Path, statement: str, reason: str
) -> None:
    """Not even the journal's mode is changed."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.execute("CREATE TABLE orders (id)")
    before = path.read_bytes()

    with pytest.raises(rml.NotALedgerError, match=reason):
        rml.Ledger(path, adopt=True)

    assert before == path.read_bytes()


def test_the_applications_own_tables_are_no_finding(tmp_path: Path) -> None:
    """Nor are its indexes, its triggers and what SQLite keeps for them."""
    with rml.Ledger(tmp_path / "shop.db") as ledger:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
            db.executescript(GUESTS)

        assert () == ledger.verify().problems


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX mine ON entries (service)",
        "CREATE TRIGGER mine AFTER INSERT ON entries BEGIN SELECT 1; END",
        "CREATE TRIGGER mine INSTEAD OF DELETE ON history BEGIN SELECT 1; END",
        "CREATE TRIGGER mine AFTER INSERT ON orders BEGIN DELETE FROM leases; END",
        'CREATE TRIGGER mine AFTER INSERT ON log BEGIN UPDATE OR IGNORE "head" SET size = 9; END',
        "CREATE TRIGGER mine AFTER INSERT ON orders BEGIN INSERT INTO Tiles SELECT 1, 2, 3, 4; END",
    ],
)
def test_what_touches_the_ledgers_tables_is_a_finding(tmp_path: Path, statement: str) -> None:
    """Also from a table of the application."""
    with rml.Ledger(tmp_path / "shop.db") as ledger:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
            db.executescript(GUESTS)
            db.execute(statement)

        assert ("'mine' does not belong to a ledger",) == tuple(
            problem.detail for problem in ledger.verify().problems
        )
