"""Which servers and databases a ledger may be made on."""

from urllib.parse import urlsplit

import postgres_server
import psycopg
import pytest

from rml.ledger.errors import LedgerUnavailableError
from rml.stores import postgres_schema
from rml.stores.postgres_place import place_of
from rml.testing.stores import opening_of


def test_a_server_that_is_too_old_is_told_so_before_anything_is_made(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As each one is by a release that needs a newer one."""
    monkeypatch.setattr(postgres_schema, "SERVER_MIN", 9_990_000)
    url = postgres_server.new_schema(server)

    with pytest.raises(LedgerUnavailableError, match="a ledger needs 999 or later"):
        postgres_schema.initialise(opening_of(url))

    with psycopg.connect(server) as connection:
        schema = (place_of(url).schema,)
        found = connection.execute("SELECT to_regnamespace(%s)", schema).fetchone()
    assert (None,) == found


def test_a_database_of_another_encoding_than_utf8_is_refused(server: str) -> None:
    """It could not keep every text."""
    name = place_of(postgres_server.new_schema(server)).schema
    latin = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(latin)
        try:
            elsewhere = urlsplit(server)._replace(path=f"/{name}").geturl()
            with pytest.raises(LedgerUnavailableError, match="has the encoding LATIN1"):
                postgres_schema.initialise(opening_of(elsewhere))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
