"""Which request failed, and whether it was the first one sent: read from its exception's traceback.

"Connection refused" means that this connection carried nothing. It says nothing about a request
sent before it: a client that retried after a timeout, or followed a redirect after the charge was
made, raises the refusal of its last try. The loops of well-known clients keep what came before in
their local variables, which a traceback still holds. Where the traceback is gone (the error crossed
a process), nothing of the sort can be seen.

The same variables tell which request it was: a client that was given an idempotency key to send
still has it in its hands.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from types import FrameType
from typing import Any, Final

FRAMES_MAX: Final = 2_000
"""Frames looked at; a deeper stack is a runaway recursion, and is answered with caution."""

VALUES_MAX: Final = 20_000
"""Values of a client's that are searched for a key."""

VALUES_DEPTH: Final = 6
"""How deep: a key is a header of a request that is an argument, or a field of its body."""

# Packages that call a function again. Only tenacity's state (and stamina's, built on it) is read.
_RETRIERS: Final = frozenset(
    {"aiohttp_retry", "backoff", "retry", "retrying", "stamina", "tenacity", "urllib3_retry"}
)

# `rml.retry` uses them too, and keeps count of what its attempts have proved.
_OUR_RETRIES: Final = frozenset(
    {("rml.effect.retry", "retried"), ("rml.effect.retry", "retried_async")}
)
_OUR_ATTEMPT: Final = ("rml.effect.retry", "attempt")

_Local = Mapping[str, Any]


def _redirected(local: _Local) -> bool:
    return bool(local.get("history"))


def _went_on(local: _Local) -> bool:
    """Whether aiohttp followed a redirect, or sent again after a kept-alive connection broke.

    It does the latter once, for methods that HTTP calls idempotent, and then withdraws its
    permission.
    """
    may = getattr(local.get("self"), "_retry_connection", True)
    may = may and local.get("method") in {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
    return _redirected(local) or (may and not local.get("retry_persistent_connection", True))


def _sent_by_urllib3(local: _Local) -> bool:
    """Whether anything urllib3 did before, redirects among it, got further than connecting."""
    history = getattr(local.get("retries"), "history", ())
    return any(not _is_unsent(getattr(past, "error", None)) for past in history)


def _is_unsent(error: Any) -> bool:
    kind = type(error).__name__
    if kind == "ProxyError":
        error = getattr(error, "original_error", None)
    elif kind == "SSLError" and error.args:
        error = error.args[0]
    return type(error).__name__ in _UNSENT


def _answered(local: _Local) -> bool:
    """Whether urllib3 has an answer, and went on to where that redirects it."""
    return local.get("response") is not None


def _counted(local: _Local) -> bool:
    """Whether Stripe's loop went round; a counter that is no longer there counts as if it had."""
    return bool(local.get("num_retries", 1))


def _attempted(local: _Local) -> bool:
    """Whether botocore's loop went round; it counts from 1."""
    return bool(local.get("attempts") != 1)


def _is_first_try(local: _Local) -> bool:
    return getattr(local.get("retry_state"), "attempt_number", None) == 1


# (module, function): whether its locals show that something was exchanged before.
_LOOPS: Final[Mapping[tuple[str, str], Callable[[_Local], bool]]] = {
    ("httpx._client", "_send_handling_redirects"): _redirected,
    ("aiohttp.client", "_request"): _went_on,
    ("requests.sessions", "resolve_redirects"): lambda _local: True,
    ("urllib.request", "http_error_302"): lambda _local: True,
    ("urllib3.connectionpool", "urlopen"): _sent_by_urllib3,
    ("botocore.endpoint", "_send_request"): _attempted,
    ("urllib3.poolmanager", "urlopen"): _answered,
    ("stripe._http_client", "_request_with_retries_internal"): _counted,
    ("stripe._http_client", "_request_with_retries_internal_async"): _counted,
}

# Those that go round by default.
_RETRYING: Final = frozenset(key for key in _LOOPS if key[0].startswith(("botocore.", "stripe.")))

_CONNECTING: Final = frozenset(
    {("psycopg.connection", "connect"), ("psycopg.connection_async", "connect")}
)

# Who catches what goes wrong while connecting or reading, and raises a word of its own for it: the
# packages whose exceptions are judged, and what they are built upon.
_CLIENTS: Final = frozenset(
    {
        *("aiohappyeyeballs", "aiohttp", "anyio", "asyncio", "botocore", "grpc", "h11", "h2"),
        *("http", "httpcore", "httpx", "idna", "psycopg", "requests", "smtplib", "socket", "ssl"),
        *("stripe", "urllib", "urllib3", "yarl"),
    }
)

_UNSENT: Final = frozenset(
    {
        *("NewConnectionError", "NameResolutionError", "ConnectTimeoutError"),
        "SSLCertVerificationError",
    }
)


def was_sent_before(exc: BaseException) -> bool:
    """Return whether the traceback shows, or may hide, an earlier request behind this failure."""
    retried, first_try, outside = False, False, (False, False)
    for count, frame in enumerate(_frames(exc)):
        place = _place(frame)
        if place in _OUR_RETRIES:
            outside = retried, first_try
        elif place == _OUR_ATTEMPT and frame.f_locals["tries"].did_nothing:
            retried, first_try = outside
        went_round = _LOOPS.get(place)
        if count >= FRAMES_MAX or (went_round is not None and went_round(frame.f_locals)):
            return True
        if place[0].partition(".")[0] in _RETRIERS:
            retried, first_try = True, first_try or _is_first_try(frame.f_locals)
    return retried and not first_try


def was_sent_once(exc: BaseException) -> bool:
    """Return whether the traceback proves that a client with retries of its own sent one request.

    Stripe's and Amazon's retry by default, so without proof there may have been several.
    """
    loops = [f for f in islice(_frames(exc), FRAMES_MAX) if _place(f) in _RETRYING]
    return bool(loops) and not was_sent_before(exc)


def failed_connecting(exc: BaseException) -> bool:
    """Return whether the traceback leads through the opening of a database connection."""
    return any(_place(f) in _CONNECTING for f in islice(_frames(exc), FRAMES_MAX))


def was_caught_by_client(exc: BaseException) -> bool:
    """Return whether a client caught an exception inside itself: its caller never saw it."""
    trace = exc.__traceback__
    return trace is not None and _is_client(_place(trace.tb_frame)[0])


def was_caught_outside(exc: BaseException, other: BaseException) -> bool:
    """Return whether an exception was caught further out than where the other one is now.

    It was being handled before the call began in which the other was raised.
    """
    caught, here = exc.__traceback__, other.__traceback__
    if caught is None or here is None:
        return False
    frame = here.tb_frame.f_back
    for _ in range(FRAMES_MAX):
        if frame is None:
            break
        if frame is caught.tb_frame:
            return True
        frame = frame.f_back
    return False


def was_about_another(exc: BaseException, key: str) -> bool:
    """Return whether a client failed with a request that does not bear a key.

    An exception that no client raised, such as one of the handler's own, tells nothing of a
    request. What is too large to be searched may bear the key: then it is not another.
    """
    clients = [f for f in islice(_frames(exc), FRAMES_MAX) if _is_client(_place(f)[0])]
    return bool(clients) and not _holds([dict(f.f_locals) for f in clients], key)


def _is_client(module: str) -> bool:
    return module.partition(".")[0] in _CLIENTS


def _holds(value: Any, text: str) -> bool:
    """Say whether a text is somewhere in a value, or may be, looking through what clients keep."""
    seen: set[int] = set()
    row = [value]
    for _ in range(VALUES_DEPTH):
        below: list[Any] = []
        for one in row:
            if isinstance(one, str | bytes | bytearray):
                if (text if isinstance(one, str) else text.encode()) in one:  # type: ignore[operator]
                    return True
            elif id(one) not in seen:
                seen.add(id(one))
                below += _parts(one)
        if len(seen) + len(below) > VALUES_MAX:
            return True
        row = below
    return False


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        with suppress(Exception):  # what cannot be read as a mapping may still have attributes
            return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    own = getattr(value, "__dict__", {}) if _is_client(type(value).__module__) else {}
    return list(own.values())


def _frames(exc: BaseException) -> Iterator[FrameType]:
    trace = exc.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _place(frame: FrameType) -> tuple[str, str]:
    return str(frame.f_globals.get("__name__")), frame.f_code.co_name
