"""Other ways to call a function at most once for a key, each as it comes."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from peers import Kind

Protected: TypeAlias = Callable[[str], object]
"""Charges for a payment's id, once."""

REDIS_URL: Final = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")


def charged(payment_id: str) -> dict[str, str | int]:
    """Return what every handler returns: the effect itself costs next to nothing."""
    return {"charge_id": payment_id, "amount": 1999, "currency": "EUR"}


@contextmanager
def _effect_ledger(folder: Path) -> Iterator[Protected]:
    from effect_ledger import EffectExecutor

    executor = EffectExecutor(folder / "peer.db", scope="bench")
    execute = executor.bind("charge", lambda operation: charged(operation.operation_id))
    yield lambda key: execute(key, charged(key))


@contextmanager
def _dbos(folder: Path) -> Iterator[Protected]:
    from dbos import DBOS, SetWorkflowID

    url = f"sqlite:///{folder / 'peer.db'}"
    DBOS(config={"name": "bench", "system_database_url": url, "console_log_level": "CRITICAL"})
    step = DBOS.step()(charged)

    @DBOS.workflow()
    def workflow(payment_id: str) -> dict[str, str | int]:
        return step(payment_id)

    def call(key: str) -> object:
        with SetWorkflowID(key):
            return workflow(key)

    DBOS.launch()
    try:
        yield call
    finally:
        logging.disable(logging.CRITICAL)  # it tells that it ends
        DBOS.destroy()
        logging.disable(logging.NOTSET)


@contextmanager
def _powertools_memory(folder: Path) -> Iterator[Protected]:  # noqa: ARG001 - it has no files
    from aws_lambda_powertools.utilities.idempotency import BasePersistenceLayer
    from aws_lambda_powertools.utilities.idempotency import exceptions as refusals

    class Memory(BasePersistenceLayer):
        """The least that a persistence layer can be."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self._records: dict[str, Any] = {}

        def _get_record(self, idempotency_key: str) -> Any:
            try:
                return self._records[idempotency_key]
            except KeyError:
                raise refusals.IdempotencyItemNotFoundError from None

        def _put_record(self, data_record: Any) -> None:
            kept = self._records.setdefault(data_record.idempotency_key, data_record)
            if kept is not data_record and not kept.is_expired:
                raise refusals.IdempotencyItemAlreadyExistsError(old_data_record=kept)

        def _update_record(self, data_record: Any) -> None:
            self._records[data_record.idempotency_key] = data_record

        def _delete_record(self, data_record: Any) -> None:
            del self._records[data_record.idempotency_key]

    yield _powertools(Memory())


@contextmanager
def _powertools_redis(folder: Path) -> Iterator[Protected]:  # noqa: ARG001 - it has no files
    from aws_lambda_powertools.utilities.idempotency.persistence.cache import CachePersistenceLayer

    yield _powertools(CachePersistenceLayer(url=REDIS_URL))


def _powertools(layer: Any) -> Protected:
    from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function

    # It looks for the time that is left to a Lambda, and there is none here.
    warnings.filterwarnings("ignore", "Couldn't determine the remaining time left", UserWarning)
    protect = idempotent_function(
        data_keyword_argument="payment",
        persistence_store=layer,
        config=IdempotencyConfig(event_key_jmespath="payment_id"),
    )
    call = protect(lambda payment: charged(payment["payment_id"]))
    return lambda key: call(payment={"payment_id": key, "amount": 1999, "currency": "EUR"})


class _OnRedis(Kind[Protected]):
    """A peer that needs a server beside its package."""

    def missing(self) -> str | None:
        """Return why it cannot be measured: the package or the server is not there."""
        found = super().missing()
        if found is not None:
            return found
        import redis

        try:
            redis.Redis.from_url(REDIS_URL, socket_connect_timeout=1).ping()
        except redis.RedisError:
            return f"no Redis at {REDIS_URL}; set REDIS_URL"
        return None


_POWERTOOLS: Final = (
    "nothing is flushed to a disk; a lost record, or one whose time is over, runs again; what "
    "another request with the same key asks is not compared"
)

KINDS: Final = (
    Kind(
        "effect-ledger 0.1.2",
        "effect_ledger",
        _effect_ledger,
        "no hashes: what it keeps can be rewritten, and nobody notices",
    ),
    Kind(
        "DBOS 3.4 on SQLite",
        "dbos",
        _dbos,
        "a step that was cut off is run again; other arguments for an id are not noticed",
    ),
    Kind(
        "Powertools 3.37 in memory",
        "aws_lambda_powertools",
        _powertools_memory,
        _POWERTOOLS,
        is_durable=False,
    ),
    _OnRedis(
        "Powertools 3.37 on Redis",
        "aws_lambda_powertools",
        _powertools_redis,
        _POWERTOOLS,
        is_durable=False,
    ),
)
