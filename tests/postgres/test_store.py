"""The ledger in PostgreSQL keeps the contract that strangers' stores are tested with."""

from collections.abc import Callable, Iterator

import pytest

from rml.ledger.store import Store
from rml.stores.postgres import PostgresStore
from rml.testing.stores import StoreContract, opening_of


class TestPostgres(StoreContract):
    """A schema of its own for each store."""

    @pytest.fixture(autouse=True)
    def _schemas(self, new_url: Callable[[], str]) -> Iterator[None]:
        self.new_url = new_url
        self.stores: list[PostgresStore] = []
        yield
        for store in self.stores:
            store.close()

    def new_store(self) -> Store:
        """An empty ledger."""
        return self._opened(self.new_url())

    def opened_again(self, store: Store) -> Store:
        """The same schema, once more."""
        assert isinstance(store, PostgresStore)
        store.close()
        return self._opened(store._opening.url)

    def _opened(self, url: str) -> PostgresStore:
        self.stores.append(PostgresStore(opening_of(url, create=False)))
        return self.stores[-1]
