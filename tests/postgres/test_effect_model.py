"""The state machine of effects over PostgreSQL, its steps taken by several processes in turn.

What one of them has seen is out of date when its turn comes again. Each has a store of its own, as
processes have, and nothing else in common; the model is the one of a ledger in memory.
"""

import importlib.util
from pathlib import Path
from typing import Any

import postgres_server
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

import rml
from rml.stores import postgres_schema
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_place import place_of
from rml.testing.stores import opening_of

STORES = 3


def _machine() -> Any:
    path = Path(__file__).parent.parent / "properties" / "test_effect_machine.py"
    spec = importlib.util.spec_from_file_location("effect_machine_over_postgres", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EffectMachine


EffectMachine: Any = _machine()


def test_effects_are_where_the_model_says(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks, begins, ends, decides or erases, and whatever it saw before."""
    monkeypatch.setattr("rml.stores.postgres_sealing.Sealer.wrote", _owe)

    class Machine(EffectMachine):  # type: ignore[misc]
        """On one ledger, by several stores."""

        def open(self) -> rml.Ledger:
            """Open it as often as there are processes."""
            self.url = postgres_server.new_schema(server)
            postgres_schema.initialise(opening_of(self.url))
            self.ledgers = [rml.Ledger(self.url, clock=self.clock) for _ in range(STORES)]
            self.turn = 0
            return self.ledgers[0]

        @property
        def ledger(self) -> rml.Ledger:
            """The ledger of whose turn it is; what the others wrote has its index."""
            for one in self.ledgers:
                store = one._store
                assert isinstance(store, PostgresStore)
                store._settle()
            return self.ledgers[self.turn]

        @ledger.setter
        def ledger(self, _: rml.Ledger) -> None:
            pass

        @rule(turn=st.integers(0, STORES - 1))
        def go_elsewhere(self, turn: int) -> None:
            """The next steps are taken by another process."""
            self.turn = turn

        def teardown(self) -> None:
            """As everywhere; and the schema is dropped."""
            try:
                super().teardown()
            finally:
                for one in self.ledgers:
                    one.close()
                with psycopg.connect(server, autocommit=True) as connection:
                    connection.execute(f'DROP SCHEMA "{place_of(self.url).schema}" CASCADE')

    small = settings(
        max_examples=8,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=small)


def _owe(sealer: Any) -> None:
    """Have the next reader seal, rather than a thread a moment later."""
    sealer._written += 1
