"""What a sealing costs does not grow with the ledger, nor with the messages that it takes."""

from collections.abc import Callable, Iterator

import pytest

from rml.stores.postgres import PostgresStore
from rml.stores.postgres_line import Line
from rml.stores.postgres_place import place_of
from rml.stores.postgres_sealing import transaction
from rml.testing.scribe import Scribe
from rml.testing.stores import opening_of

# How often tables that grow were read from end to end, by this session and not yet told.
SCANS = (
    "SELECT coalesce(sum(seq_scan), 0)::int FROM pg_stat_xact_user_tables "
    "WHERE schemaname = %s AND relname IN ('entries', 'places', 'tiles', 'waiting')"
)


@pytest.fixture
def store(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresStore]:
    """An empty ledger's store, which seals nothing by itself."""
    monkeypatch.setattr("rml.stores.postgres_sealing.Sealer.wrote", lambda _: None)
    made = PostgresStore(opening_of(url))
    yield made
    made.close()


def test_a_sealing_reads_no_table_from_end_to_end(url: str, store: PostgresStore) -> None:
    """However small the tables were when its plans were made, which a session keeps."""
    scribe, schema = Scribe(store.origin), place_of(url).schema

    def scans(line: Line) -> int:
        number: int = line.execute(SCANS, (schema,)).fetchall()[0][0]
        return number

    for _ in range(3):
        scribe.append(store, 20)
        with store._lend(None) as line, transaction(line):
            before = scans(line)
            sealing, edge = store._sealer.seal_within(line, 5)
            after = scans(line)
            line.execute("COMMIT")

        assert 20 == sealing.sealed
        assert before == after
        assert edge is not None
        store._sealer.keep(edge)


def test_a_sealing_is_four_messages(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One to begin and one to end, whatever it seals; and what waits is asked for once."""
    Scribe(store.origin).append(store, 300)
    sent: list[str] = []

    def told(name: str, method: Callable[..., object]) -> Callable[..., object]:
        def tell(self: Line, *arguments: object, **options: object) -> object:
            sent.append(name)
            return method(self, *arguments, **options)

        return tell

    for name in ("ask", "execute", "run", "tell"):
        monkeypatch.setattr(Line, name, told(name, getattr(Line, name)))
    with store._lend(None) as line:
        store._sealer.catch_up(line, 5)

    assert ["tell", "run", "run", "tell"] == sent
    assert 300 == store.head().size
