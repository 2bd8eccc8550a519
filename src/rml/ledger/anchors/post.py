"""How something is asked of a service over HTTP: one POST, not redirected, answered in bounds."""

from __future__ import annotations

import threading
from http.client import HTTPException
from queue import Empty, SimpleQueue
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import attrs

# What is asked here is answered in a few lines, the largest of which take 5 kB.
ANSWER_BYTES_MAX: Final = 65_536


@attrs.frozen
class Reply:
    """What a service answered: status, media type and body."""

    status: int
    kind: str
    body: bytes


def post(url: str, body: bytes, timeout: float) -> Reply:
    """Send text to an ``http`` or ``https`` URL and return the answer, whatever its status.

    Raises:
        OSError: there was no whole answer within ``timeout`` seconds, or none that can be read.
    """
    told: SimpleQueue[Reply | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            told.put(_post(url, body, timeout))
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
            told.put(error)

    # In a thread, because a socket's timeout begins anew with every byte that drips in.
    threading.Thread(target=ask, name="rml-post", daemon=True).start()
    try:
        answer = told.get(timeout=timeout)
    except Empty:
        raise OSError(f"timed out after {timeout:g} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _post(url: str, body: bytes, timeout: float) -> Reply:
    headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "rml"}
    request = Request(url, body, headers, method="POST")  # noqa: S310 - the caller checks the scheme
    try:
        try:
            response = build_opener(_NoRedirect).open(request, timeout=timeout)
        except HTTPError as error:  # an answer as well
            response = error
        with response:
            told = response.read(ANSWER_BYTES_MAX + 1)
            kind = response.headers.get_content_type()
    except HTTPException as error:
        raise OSError(f"it speaks no HTTP: {error}") from error
    if len(told) > ANSWER_BYTES_MAX:
        raise OSError(f"its answer has more than {ANSWER_BYTES_MAX} bytes")
    return Reply(response.status, kind, told)


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirection as an answer: to follow it would send a GET in place of the POST."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""
