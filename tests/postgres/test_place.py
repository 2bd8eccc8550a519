"""What a `postgresql:` URL says, without any server."""

import pytest

pytest.importorskip("psycopg")

from rml.error import InvalidInputError
from rml.ledger.store import without_password
from rml.stores.postgres_place import place_of


@pytest.mark.parametrize(
    ("url", "conninfo", "schema", "connections", "name"),
    [
        (
            "postgresql://app:s3cret@db.example:5433/shop?schema=eu&sslmode=require",
            "postgresql://app:s3cret@db.example:5433/shop?sslmode=require",
            "eu",
            10,
            "postgresql://db.example:5433/shop?schema=eu",
        ),
        (
            "postgresql:///shop?host=/run/a,/run/b&connections=3",
            "postgresql:///shop?host=%2Frun%2Fa%2C%2Frun%2Fb",
            "rml",
            3,
            "postgresql:///shop?schema=rml",
        ),
        ("postgresql:///", "postgresql:///", "rml", 10, "postgresql:///?schema=rml"),
    ],
)
def test_a_url_is_read(url: str, conninfo: str, schema: str, connections: int, name: str) -> None:
    """Two parameters are ours, the others libpq's; the name holds no password."""
    place = place_of(url)

    assert (conninfo, schema) == (place.conninfo, place.schema)
    assert (connections, name) == (place.connections, place.name)
    assert "s3cret" not in repr(place)


@pytest.mark.parametrize("query", ["schema=pg_x", "schema=A", 'schema="', "connections=0"])
def test_what_cannot_be_used_is_refused(query: str) -> None:
    """Before anything is connected to."""
    with pytest.raises(InvalidInputError):
        place_of(f"postgresql:///shop?{query}")


@pytest.mark.parametrize(
    "url",
    ["postgresql://app:s3cret@db/shop?x=1", "postgresql://db/shop?password=s3cret&user=app"],
)
def test_a_password_is_not_shown(url: str) -> None:
    """Wherever it stands."""
    assert "s3cret" not in without_password(url)
    assert "app" in without_password(url)


@pytest.mark.parametrize("sign", ["/", "?", "#", "/@", "?x@"])
def test_a_password_with_a_sign_that_ends_it_is_refused(sign: str) -> None:
    """No part of it is taken for a host or a path, and shown."""
    with pytest.raises(InvalidInputError, match="write / as %2F") as raised:
        place_of(f"postgresql://app:s3{sign}cret@db.example/shop")
    assert "s3" not in str(raised.value)
    assert "cret" not in str(raised.value)
