"""Which exception is being handled, by the caller whose work is running.

Whoever leads a commit carries out the works of other callers, perhaps in the middle of handling an
error of its own. An error that is built in such a work has nothing to do with that one.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_leader = threading.local()


def handled_here() -> BaseException | None:
    """Return the exception that is being handled, unless it is only the leader's."""
    handled = sys.exception()
    return None if handled is getattr(_leader, "handled", None) else handled


@contextmanager
def apart() -> Iterator[None]:
    """Run another caller's work: what this thread is handling is no part of its errors."""
    handled = _leader.handled = sys.exception()
    try:
        yield
    except BaseException as error:
        node = error
        while node.__context__ is not None and node.__context__ is not handled:
            node = node.__context__
        node.__context__ = None
        raise
    finally:
        _leader.handled = None
