"""Workers of other processes: a suspended one loses its lease, a busy one is waited for."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import rml

WORKER = """
import sys
import rml

ledger = rml.Ledger(sys.argv[1])

@rml.idempotent("payment.charge", key="key", lease=float(sys.argv[2]), ledger=ledger)
def charge(key: str) -> str:
    print("inside", flush=True)
    sys.stdin.read()
    return "charged"

try:
    charge("pay-1")
except rml.InDoubtError as error:
    print(error.message, flush=True)
"""


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
def test_a_worker_of_another_process_is_waited_for(tmp_path: Path, is_async: bool) -> None:
    """Whoever waits is given its value, and runs nothing."""
    path = tmp_path / "ledger.db"
    command = [sys.executable, "-c", WORKER, str(path), "60"]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as worker,
        rml.Ledger(path) as ledger,
    ):
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert "inside\n" == worker.stdout.readline()

        @rml.idempotent("payment.charge", key="key", wait=60, ledger=ledger)
        def charge(key: str) -> str:
            raise AssertionError(key)

        @rml.idempotent("payment.charge", key="key", wait=60, ledger=ledger)
        async def acharge(key: str) -> str:
            raise AssertionError(key)

        timer = threading.Timer(0.05, worker.stdin.close)
        timer.start()
        value = asyncio.run(acharge("pay-1")) if is_async else charge("pay-1")
        timer.join()

    assert "charged" == value


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be suspended here")
def test_a_suspended_worker_comes_back_too_late(tmp_path: Path) -> None:
    """Whoever looks meanwhile finds doubt, and the worker's end does not take that back."""
    path = tmp_path / "ledger.db"
    # No beat comes so soon: one that was stopped in the middle would keep its turn to write.
    command = [sys.executable, "-c", WORKER, str(path), "60"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert "inside\n" == worker.stdout.readline()
        os.kill(worker.pid, signal.SIGSTOP)
        clock = rml.FrozenClock(datetime.now(UTC) + timedelta(hours=1))
        with rml.Ledger(path, clock=clock) as ledger:
            (doubt,) = rml.reconcile(ledger=ledger)
            assert doubt.effect.state is rml.EffectState.IN_DOUBT
        os.kill(worker.pid, signal.SIGCONT)
        said, _ = worker.communicate(timeout=60)

    assert "after its lease was lost" in said
    with rml.Ledger(path, create=False) as ledger:
        assert ["effect.intent", "effect.in_doubt", "effect.late"] == [
            entry.kind for entry in ledger.entries() if entry.kind.startswith("effect.")
        ]
        assert ["pay-1"] == [effect.key for effect in ledger.in_doubt()]
