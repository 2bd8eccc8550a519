"""What the tests of calling again share: errors that ask for it, and attempts without pauses."""

from collections.abc import Iterator
from contextlib import contextmanager

import stamina
from stamina.instrumentation import set_on_retry_hooks

import rml


class Busy(rml.DialogError):
    """The gateway is busy, and did nothing."""

    code = "TEST_BUSY"
    happened = False


class Lost(rml.DialogError):
    """The gateway did not answer."""

    code = "TEST_LOST"


@contextmanager
def without_waiting() -> Iterator[None]:
    """Let attempts follow each other at once, and nobody log them."""
    set_on_retry_hooks(())
    with stamina.set_testing(True, attempts=10, cap=True):
        yield
    set_on_retry_hooks(None)
