"""A work in a forked child: what it returned, or why it failed."""

import ctypes
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

_PR_SET_PTRACER = 0x59616D61


@contextmanager
def _alone(_: int) -> Iterator[None]:
    yield


def in_child(
    work: Callable[[], Any], beside: Callable[[int], AbstractContextManager[None]] = _alone
) -> Any:
    """Run a work in a forked child, and return the JSON value that it returned.

    The child ends without closing anything, as if it had been killed.

    Args:
        work: what to run.
        beside: called with the child's id, what is entered before it begins and left when it ended;
            if that cannot be entered, the child does nothing.
    """
    gate, opened = os.pipe()
    answers, answering = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(answers)
            os.close(opened)
            _may_be_watched()
            if os.read(gate, 1):
                os.write(answering, json.dumps(_answer(work)).encode())
        finally:
            os._exit(0)
    os.close(answering)
    os.close(gate)
    try:
        with os.fdopen(answers, "rb") as file, beside(child):
            os.write(opened, b"x")
            answer = file.read()
    finally:
        os.close(opened)
        os.waitpid(child, 0)
    value, trouble = json.loads(answer)
    assert trouble is None, trouble
    return value


def _may_be_watched() -> None:
    """Let others than the parent trace this process; some Linux systems ask for that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


def _answer(work: Callable[[], Any]) -> tuple[Any, str | None]:
    try:
        return work(), None
    except BaseException:  # noqa: BLE001 - told to the parent, who fails with it
        return None, traceback.format_exc()
