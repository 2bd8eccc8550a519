"""A forked child that is killed once it has told enough, and all that it told."""

import os
import signal
from collections.abc import Callable


def killed_after(lines: int, work: Callable[[int], None]) -> list[str]:
    """Let a child work until it has told so many lines, and kill it; return what it told.

    Args:
        lines: how many are waited for; it may tell more before it dies.
        work: what the child does, for ever; it tells lines on the pipe that it is given.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            work(writing)
        finally:
            os._exit(1)
    os.close(writing)
    told = b""
    while told.count(b"\n") < lines:
        heard = os.read(reading, 4096)
        assert heard, "the child died by itself"
        told += heard
    os.kill(child, signal.SIGKILL)
    while heard := os.read(reading, 4096):
        told += heard
    os.close(reading)
    assert -signal.SIGKILL == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return told.decode().split()
