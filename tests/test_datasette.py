"""Datasette opens a ledger with our metadata: each question is answered, nothing is written."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette

import rml
from rml.clock import SeededIds
from rml.export.datasette import datasette_metadata
from rml.ledger.ledger import Ledger

T = TypeVar("T")
ORIGIN = "shop.example/payments"
DATABASE = datasette_metadata("shop", ORIGIN)["databases"]["shop"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Ledger]:
    """A shop with a charge done, corrected and partly erased, one in doubt, and its case."""
    clock = rml.FrozenClock("2026-11-20T19:00:00Z")
    place = tmp_path / "shop.db"
    with rml.Ledger(place, origin=ORIGIN, clock=clock, ids=SeededIds(1)) as ledger:

        @rml.idempotent("payment.charge", key="payment", personal=("email",), ledger=ledger)
        def charge(payment: str, email: str) -> str:
            if payment == "lost":
                raise TimeoutError
            return "ch-1"

        charge("paid", "ada@example.com")
        with pytest.raises(TimeoutError):
            charge("lost", "bob@example.com")
        (done,) = ledger.entries(kind="effect.done")
        first = ledger.append("shop.note", world="RML3", corrects=done.id, facts={"n": 1})
        ledger.append("shop.note", world="RML3", corrects=first.id, facts={"n": 2})
        ledger.erase(
            ledger.effects(key="paid")[0].id, ["email"], by="dpo", reason="asked for by post"
        )
        yield ledger


def run(asking: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop of its own."""
    return asyncio.run(asking)


class Site:
    """A running Datasette that serves one file with our metadata, as anybody or as root."""

    def __init__(self, path: Path) -> None:
        metadata = datasette_metadata(path.stem, ORIGIN)
        self.app = Datasette([str(path)], metadata=metadata, settings={"num_sql_threads": 0})

    def get(self, path: str, *, root: bool = False) -> Any:
        """Ask for a page."""
        cookies = {"ds_actor": self.app.sign({"a": {"id": "root"}}, "actor")} if root else {}
        return run(self.app.client.get(path, cookies=cookies))

    def rows(self, query: str, **arguments: str) -> list[dict[str, Any]]:
        """Ask one of our questions."""
        asked = urlencode({**arguments, "_shape": "array"})
        answer = self.get(f"/shop/{query}.json?{asked}")
        assert 200 == answer.status_code, answer.text
        rows: list[dict[str, Any]] = answer.json()
        return rows

    def close(self) -> None:
        """Close every file."""
        for database in self.app.databases.values():
            database.close()


@pytest.fixture
def site(shop: Ledger, tmp_path: Path) -> Iterator[Site]:
    """Datasette beside a ledger that is open."""
    made = Site(tmp_path / "shop.db")
    yield made
    made.close()


# The questions ----------------------------------------------------------------------------------


def test_every_question_is_answered(site: Site) -> None:
    """Each has a title and a description, and runs, whatever it is asked."""
    for name, query in DATABASE["queries"].items():
        assert {"title", "description", "sql"} == query.keys()
        site.rows(name)
        page = site.get(f"/shop/{name}")
        assert (200, True) == (page.status_code, query["title"] in page.text)


def test_effects_in_doubt_are_those_of_the_ledger(site: Site, shop: Ledger) -> None:
    """The same effects, with the incident."""
    (doubt,) = shop.in_doubt()
    (row,) = site.rows("effects_in_doubt")

    said = (row["effect"], row["key"], row["operation"], row["doubt"])
    assert (doubt.id, "lost", "payment.charge", "recorded") == said
    assert "INC-2026-0001" == row["incident"]
    assert ["in_doubt"] == [row["state"] for row in site.rows("open_keys")]


@pytest.mark.parametrize(
    ("now", "state", "doubts"),
    [("2999-01-01T00:00:00Z", "in_flight", []), ("2001-01-01T00:00:00Z", "in_doubt", ["key"])],
    ids=["running", "run out"],
)
def test_a_lease_that_has_run_out_is_a_doubt(
    tmp_path: Path, now: str, state: str, doubts: list[str]
) -> None:
    """Between an attempt and its end an effect is in flight, until its lease is over."""
    with rml.Ledger(tmp_path / "shop.db", clock=rml.FrozenClock(now)) as ledger:

        @rml.idempotent("payment.charge", key="payment", ledger=ledger)
        def charge(payment: str) -> None:
            site = Site(tmp_path / "shop.db")
            assert [state] == [row["state"] for row in site.rows("open_keys")]
            assert doubts == [row["key"] for row in site.rows("effects_in_doubt")]
            site.close()

        charge("key")


def test_timeline_of_an_incident(site: Site, shop: Ledger) -> None:
    """Its entries in the order in which they happened."""
    rows = site.rows("incident_timeline", incident="INC-2026-0001")

    assert [e.kind for e in shop.entries(incident="INC-2026-0001")] == [r["kind"] for r in rows]
    assert "payment.charge may have happened: it ended with TimeoutError" == rows[0]["what"]


def test_corrections_of_an_entry(site: Site, shop: Ledger) -> None:
    """The entry, its correction, and the correction of that."""
    (done,) = shop.entries(kind="effect.done")
    rows = site.rows("corrections_of_entry", entry=done.id)

    assert [(0, "effect.done"), (1, "shop.note"), (2, "shop.note")] == [
        (row["step"], row["kind"]) for row in rows
    ]


def test_history_of_a_key(site: Site, shop: Ledger) -> None:
    """All entries of its effects."""
    rows = site.rows("history_of_key", key="paid")

    (effect,) = shop.effects(key="paid")
    assert [entry.id for entry in shop.entries(effect=effect.id)] == [row["id"] for row in rows]


def test_entries_by_operation_and_day(site: Site, shop: Ledger) -> None:
    """The numbers add up to the ledger's size, and a day that is to come has none."""
    rows = site.rows("entries_by_operation_and_day")

    assert shop.size == sum(row["entries"] for row in rows)
    assert {"2026-11-20"} == {row["day"] for row in rows}
    assert [] == site.rows("entries_by_operation_and_day", since="2026-11-21")


def test_erased_fields(site: Site) -> None:
    """What, when, by whom, why; not the value."""
    (row,) = site.rows("erased_fields")

    said = (row["field"], row["kind"], row["erased_by"], row["reason"])
    assert ("email", "effect.intent", "dpo", "asked for by post") == said


def test_state_of_the_ledger(site: Site, shop: Ledger) -> None:
    """What a kept checkpoint is compared with."""
    assert [{"origin": ORIGIN, "size": shop.size, "root": shop.root}] == site.rows(
        "state_of_the_ledger"
    )


# What it is told about the file -----------------------------------------------------------------


def test_every_table_and_column_is_described(shop: Ledger, tmp_path: Path) -> None:
    """A table or a column that comes into the file gets a line here."""
    connection = sqlite3.connect(tmp_path / "shop.db")
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    tables = [row[0] for row in connection.execute(query)]
    assert set(tables) == DATABASE["tables"].keys()
    for name in ("history", "entries", "leases"):
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
        assert columns == DATABASE["tables"][name]["columns"].keys(), name
    connection.close()


def test_personal_values_are_shown_to_root_alone(site: Site) -> None:
    """Not in the table, not in a row, not by SQL of one's own; the root account sees them."""
    shown = [
        "/shop",
        "/shop/history",
        "/shop/history.json?_size=max",
        "/shop/leases",
        *(f"/shop/{name}.json?key=lost&incident=INC-2026-0001" for name in DATABASE["queries"]),
    ]
    hidden = [
        "/shop/entries",
        "/shop/entries.json",
        "/shop/entries/2",
        "/shop/entries/2.json?_blob_column=personal",
        "/shop.json?sql=select+personal+from+entries",
        "/shop?sql=select+1",
    ]

    for path in shown:
        answer = site.get(path)
        assert (200, False) == (answer.status_code, "bob@example.com" in answer.text), path
    for path in hidden:
        assert 403 == site.get(path).status_code, path
    answer = site.get("/shop.json?sql=select+cast(personal+as+text)+from+entries", root=True)
    assert (200, True) == (answer.status_code, "bob@example.com" in answer.text)


def test_nothing_can_be_written(site: Site) -> None:
    """Datasette opens the file for reading, and no question of ours is a writing one."""
    connection = site.app.get_database("shop").connect()

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM leases")

    assert not [query for query in DATABASE["queries"].values() if query.get("write")]


# How the file is opened -------------------------------------------------------------------------

# A process of its own, as `datasette serve` is: asks for the ledger's size a number of times, and
# if more than once, until it has grown.
SERVE = """\
import asyncio, json, sys
from datasette.app import Datasette
how, path, times = sys.argv[1:]
app = Datasette(**{how: [path]}, settings={"num_sql_threads": 0})
async def main():
    sizes = []
    while len(sizes) < int(times) or len(sizes) > 1 and sizes[0] == sizes[-1]:
        answer = await app.client.get("/shop.json?sql=select+size+from+head&_shape=array")
        sizes.append(answer.json()[0]["size"] if answer.status_code == 200 else None)
    print(json.dumps(sizes))
asyncio.run(main())
"""


def served(how: str, path: Path, times: int = 1) -> "subprocess.Popen[str]":
    """Serve a file, as `datasette path` (files) or `datasette -i path` (immutables) does."""
    command = [sys.executable, "-c", SERVE, how, str(path), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answer(process: "subprocess.Popen[str]") -> list[int | None]:
    """What the process was told."""
    told, _ = process.communicate(timeout=200)
    sizes: list[int | None] = json.loads(told)
    return sizes


def test_a_live_ledger_is_opened_as_it_is(shop: Ledger, tmp_path: Path) -> None:
    """While one process writes, another reads every commit, and neither harms the other."""
    before = shop.size
    process = served("files", tmp_path / "shop.db", 200)
    while process.poll() is None:
        shop.append("shop.note", world="RML3")
    sizes = answer(process)

    assert all(size is not None and before <= size <= shop.size for size in sizes)
    assert sizes == sorted(sizes, key=lambda size: size or 0)
    assert before < (sizes[-1] or 0)
    assert shop.verify().ok


def test_immutable_is_for_backups(shop: Ledger, tmp_path: Path) -> None:
    """`-i` does not read the write-ahead log, so that of a live ledger it misses the newest."""
    (tmp_path / "kept").mkdir()
    copy = tmp_path / "kept" / "shop.db"
    shop.backup(copy)
    assert [shop.size] == answer(served("immutables", copy))

    shop.append("shop.note", world="RML3")

    assert [shop.size] != answer(served("immutables", tmp_path / "shop.db"))
    assert [shop.size] == answer(served("files", tmp_path / "shop.db"))
    assert ["shop.db"] == [path.name for path in copy.parent.iterdir()]
