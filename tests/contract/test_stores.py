"""Every store that is shipped keeps the contract that strangers' stores are tested with."""

from pathlib import Path

import pytest

from rml.ledger.store import Store
from rml.stores.memory import MemoryStore
from rml.stores.sqlite import SqliteStore
from rml.testing.stores import StoreContract, opening_of


class TestMemory(StoreContract):
    """The reference."""

    def new_store(self) -> Store:
        """A ledger in this process."""
        return MemoryStore(opening_of("memory:"))


class TestSqliteInMemory(StoreContract):
    """SQLite without a file."""

    def new_store(self) -> Store:
        """A database of its own."""
        return SqliteStore(None, opening_of("sqlite://:memory:"))


class TestSqliteFile(StoreContract):
    """SQLite as it is used."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "ledger.db"

    def new_store(self) -> Store:
        """A file of its own."""
        return SqliteStore(self.path, opening_of("sqlite:///ledger.db"))

    def opened_again(self, store: Store) -> Store:
        """The same file, once more."""
        store.close()
        return SqliteStore(self.path, opening_of("sqlite:///ledger.db", create=False))
