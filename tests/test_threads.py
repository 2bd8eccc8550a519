"""The threads that do store work for event loops: callers wait, nothing is lost, nobody blocks."""

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

import rml
from rml import threads


async def _every(*functions: object) -> list[object]:
    return list(await asyncio.gather(*map(threads.begin, functions)))  # type: ignore[arg-type]


async def _every_thread() -> int:
    """Have every thread there may be at work at once, and say how many works that were."""
    together = threading.Barrier(threads._THREADS_MAX, timeout=60)
    return len(await _every(*[together.wait] * threads._THREADS_MAX))


def test_work_is_done_in_another_thread() -> None:
    """The event loop's thread goes on meanwhile; the value comes back."""

    async def main() -> int:
        return await threads.run(threading.get_ident)

    assert asyncio.run(main()) != threading.get_ident()


def test_work_sees_the_context_of_its_caller() -> None:
    """Who acts, and which ledger is used, lives in context variables."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def main() -> str:
        variable.set("ada")
        return await threads.run(variable.get)

    assert asyncio.run(main()) == "ada"


def test_as_many_works_as_there_are_threads_are_under_way_at_once() -> None:
    """Commits that wait together are flushed together; one that is stuck holds up no other."""
    assert asyncio.run(_every_thread()) == threads._THREADS_MAX


def test_more_works_than_threads_wait_for_their_turn() -> None:
    """Nothing is refused, and no thread is started for them."""

    async def main() -> set[object]:
        return set(await _every(*[threading.current_thread] * threads._THREADS_MAX * 10))

    assert len(asyncio.run(main())) <= threads._THREADS_MAX


def test_a_cancelled_caller_stops_waiting_and_the_work_goes_on() -> None:
    """What has begun in the store comes to its end."""
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(30)
        ended.set()

    async def main() -> None:
        task = asyncio.create_task(threads.run(work))
        await threads.run(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended.is_set()
        gate.set()
        assert await threads.run(ended.wait, 30)

    asyncio.run(main())


def test_an_outcome_is_waited_for_whoever_cancels() -> None:
    """The answer comes with the cancellation, which is the caller's to raise again."""
    begun, gate = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        gate.wait(30)
        return "recorded"

    async def main() -> None:
        task = asyncio.create_task(threads.outcome(threads.begin(work)))
        await threads.run(begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        cancelled, value, trouble = await task
        assert (True, "recorded", None) == (cancelled is not None, value, trouble)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(LookupError("gone"), LookupError), (StopIteration(), RuntimeError)],
    ids=["error", "StopIteration"],
)
def test_the_works_error_is_its_callers(raised: Exception, seen: type[Exception]) -> None:
    """Also one that no future takes as it is."""

    def work() -> None:
        raise raised

    async def main() -> None:
        with pytest.raises(seen):
            await threads.run(work)

    asyncio.run(main())


def test_nothing_holds_what_a_work_held_once_it_has_ended() -> None:
    """Neither an idle thread nor the traceback of an error keeps a payment's data alive."""

    class Data:
        """Something to be held."""

    def fail(data: Data) -> None:
        raise LookupError(str(data))

    async def main() -> weakref.ref[Data]:
        data = Data()
        with pytest.raises(LookupError):
            await threads.run(fail, data)
        return weakref.ref(data)

    gc.collect()
    gc.disable()
    try:
        held = asyncio.run(main())
        asyncio.run(_every_thread())  # so that each has come back from the work before
        assert held() is None
    finally:
        gc.enable()


def test_a_loop_that_is_gone_is_told_nothing() -> None:
    """A work that ends after its loop was closed raises in nobody's thread."""
    gate, ended = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(30)
        ended.set()

    async def main() -> None:
        threads.begin(work)

    asyncio.run(main())
    gate.set()
    assert ended.wait(30)
    assert asyncio.run(threads.run(int)) == 0


def test_a_protected_call_goes_to_a_thread_twice_and_its_repetition_once(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way there and back costs more than most of what is asked."""
    ways: list[object] = []
    begin = threads.begin

    def counted(function: Any, *args: Any) -> asyncio.Future[Any]:
        ways.append(function)
        return begin(function, *args)

    monkeypatch.setattr(threads, "begin", counted)

    @rml.idempotent("payment.charge", key="payment_id", ledger=ledger)
    async def charge(payment_id: str) -> str:
        return payment_id

    async def main() -> list[int]:
        numbers = []
        for _ in range(2):
            ways.clear()
            await charge("pay-1")
            numbers.append(len(ways))
        return numbers

    assert asyncio.run(main()) == [2, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without forks")
def test_a_forked_child_has_threads_of_its_own() -> None:
    """Its parent's are not there."""
    program = """
        import asyncio, os
        from rml import threads
        asyncio.run(threads.run(int))
        child = os.fork()
        value = asyncio.run(threads.run(lambda: 7))
        if not child:
            os._exit(value)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert _printed(program) == "7\n"


def test_work_that_is_under_way_ends_before_the_program_does() -> None:
    """An outcome that nobody waits for any more is recorded all the same."""
    program = """
        import asyncio, threading
        from rml import threads
        begun, gate = threading.Event(), threading.Event()
        def work():
            begun.set()
            gate.wait(30)
            print("recorded")
        async def main():
            threads.begin(work)
            await threads.run(begun.wait, 30)
        asyncio.run(main())
        threading.Timer(0.05, gate.set).start()
    """
    assert _printed(program) == "recorded\n"


@pytest.mark.parametrize("face", ["def", "async def"])
def test_a_call_while_the_interpreter_ends_does_not_hang(tmp_path: Path, face: str) -> None:
    """No thread can be started any more: it does without, or is refused before it has an effect."""
    program = f"""
        import asyncio, rml
        rml.configure(ledger={str(tmp_path / "ledger.db")!r})
        {face} charge(payment_id):
            return "charged"
        charge = rml.idempotent("payment.charge", key="payment_id")(charge)
        asyncio.run(asyncio.sleep(0))
        class Late:
            def __del__(self, run=asyncio.run, charge=charge):
                try:
                    print(run(charge("pay-1")) if {face != "def"} else charge("pay-1"))
                except (RuntimeError, ImportError):
                    print("refused")
        late = Late()
    """
    assert _printed(program) == ("charged\n" if face == "def" else "refused\n")


def _printed(program: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout
