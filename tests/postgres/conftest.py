"""What the tests of the ledger in PostgreSQL begin with."""

from collections.abc import Callable, Iterator

import postgres_server
import psycopg
import pytest

import rml
from rml.stores import postgres_schema
from rml.stores.postgres_place import place_of
from rml.testing.stores import opening_of


@pytest.fixture(scope="session")
def server() -> str:
    """A server's URL, one for all processes of the run."""
    return postgres_server.server_url()


@pytest.fixture
def new_url(server: str) -> Iterator[Callable[[], str]]:
    """Makes schemas with an empty ledger each; they are dropped after the test."""
    made: list[str] = []

    def make() -> str:
        url = postgres_server.new_schema(server)
        made.append(url)
        postgres_schema.initialise(opening_of(url))
        return url

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for url in made:
            connection.execute(f'DROP SCHEMA IF EXISTS "{place_of(url).schema}" CASCADE')


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """An empty ledger."""
    return new_url()


@pytest.fixture
def time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who will not wait for others has enough time to connect, however busy the machine is."""
    monkeypatch.setattr("rml.stores.postgres_lines.CONNECT_SECONDS", 60.0)


@pytest.fixture
def ledger(url: str, clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """An empty ledger, configured, and verified when the test is over."""
    with rml.Ledger(url, clock=clock, service="tests", timeout=60) as made:
        rml.configure(ledger=made)
        yield made
        assert () == made.verify().problems
