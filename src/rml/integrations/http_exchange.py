"""One request on its way through an application, and what the response says became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final

import attrs

from rml.effect.decide import ending_of
from rml.effect.errors import DefinitionError, EffectFailedError, InDoubtError
from rml.effect.state import EffectState
from rml.error import ClosedError, ConfigurationError, DialogError, HistoryError, RmlError
from rml.ledger.errors import NoLedgerError
from rml.world import World

REPLAYED: Final = "Idempotent-Replayed"  # as Stripe spells it; the draft has no marker
# A response is kept beside an entry, where there is 1 MiB for everything: half of it leaves room
# for headers, and for what JSON or base64 makes longer.
RESPONSE_BYTES_MAX: Final = 1 << 19


class UnknownEndError(Exception):
    """Nobody knows what a request did: it was answered 5xx, or not at all, or met with a doubt.

    It is no RmlError, because it says nothing of a world; what ends like this stands in doubt.
    """


@attrs.frozen
class Answer:
    """A response: as the application gave it, as it is kept, or a problem.

    Attributes:
        status: the HTTP status.
        headers: pairs of name and value.
        body: text if it is UTF-8, else bytes; ``None`` was too large to be kept.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str | bytes | None = ""

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        return self.body.encode() if isinstance(self.body, str) else self.body or b""


def note_error(error: BaseException) -> None:
    """Say which exception the response in the making stands for.

    Its verdict decides what became of the request, instead of the response's status. Call it in an
    error handler; outside of a request with a key it does nothing.
    """
    exchange = _current.get()
    if exchange is not None:
        exchange.noted = error


@attrs.define(eq=False)
class Exchange:
    """One request on its way through the application, and the response as it comes back.

    Attributes:
        kept_headers: lower-case names of the headers that are kept.
        classify: what a status and headers, by lower-case name, mean.
        problem: the answer to an error.
        began: whether the application was called; if not, the answer is a replay or a refusal.
        noted: the exception that the response stands for.
        passed_on: whether the response was too large to be held back and is sent as it comes.
        status: the response's status; 0 before there is one.
        headers: the response's headers.
    """

    kept_headers: frozenset[str]
    classify: Callable[[int, Mapping[str, str]], EffectState]
    problem: Callable[[RmlError], Answer]
    began: bool = False
    noted: BaseException | None = None
    passed_on: bool = False
    status: int = 0
    headers: Sequence[tuple[str, str]] = ()
    _body: bytearray = attrs.field(factory=bytearray)
    _complete: bool = False
    _end: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Surround the application's call."""
        token = _current.set(self)
        self.began = True
        try:
            yield
        except InDoubtError as error:
            raise _met_a_doubt() from error
        finally:
            with suppress(ValueError):  # given up from another context: nothing is to be reset
                _current.reset(token)

    def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Take the beginning of the response, or what replaces one that has not been sent."""
        if self.passed_on:
            raise RuntimeError("the response has been begun, and is being sent")
        self.status, self.headers = status, headers
        self._body.clear()
        self._complete = False

    def add(self, chunk: bytes, *, last: bool) -> bytes | None:
        """Take a piece of the body; once there is too much, return what is to be sent on."""
        if not self.status:
            raise RuntimeError("the response's body came before its status")
        self._complete = last
        if self.passed_on:
            return chunk
        self._body += chunk
        if len(self._body) <= RESPONSE_BYTES_MAX:
            return None
        self.passed_on = True
        held, self._body = bytes(self._body), bytearray()
        return held

    def response(self) -> Answer | None:
        """Return the response as the application gave it, ``None`` if it gave none."""
        if not self._complete:
            return None
        return Answer(self.status, tuple(self.headers), bytes(self._body))

    def ended(self) -> Answer:
        """Return what is kept of the response, if it is the end; otherwise raise what it means."""
        self._end = self._other_end()
        if self._end is not None:
            raise self._end
        headers = tuple(pair for pair in self.headers if pair[0].lower() in self.kept_headers)
        return Answer(self.status, headers, None if self.passed_on else _text(self._body))

    def _other_end(self) -> BaseException | None:
        """Return the exception that says what became of the request, ``None`` if it is done."""
        if isinstance(self.noted, InDoubtError):
            end = _met_a_doubt()
            end.__cause__ = self.noted
            return end
        if self.noted is not None:
            return self.noted
        if not self._complete:
            return UnknownEndError("the application returned without a whole answer")
        state = self.classify(self.status, {n.lower(): v for n, v in self.headers})
        if state is EffectState.DONE:
            return None
        if state is EffectState.NOT_DONE:
            return ClosedError(f"the application answered {self.status}: not done", happened=False)
        return UnknownEndError(f"the application answered {self.status}")

    def answer_to(self, error: Exception) -> Answer | None:
        """Return the answer to a request that ended like this, ``None`` if the error has to go on.

        A failure that was recorded earlier, and is given again, is marked as the replay it is.
        """
        if error is self._end:
            return self.response()
        if isinstance(error, UnknownEndError) and isinstance(error.__cause__, RmlError):
            error = error.__cause__
        if self.passed_on or not isinstance(error, RmlError) or isinstance(error, _SERVERS_OWN):
            return None
        if self.began and _denies_a_doubt(error):
            return None
        answer = self.problem(error)
        if self.began or not _may_be_recorded(type(error)):
            return answer
        return attrs.evolve(answer, headers=(*answer.headers, (REPLAYED, "true")))


_current: ContextVar[Exchange | None] = ContextVar("rml_exchange", default=None)
# Mistakes in the server's own program: no client can help, so they go on to the server's log.
_SERVERS_OWN: Final = (ConfigurationError, DefinitionError, NoLedgerError)
_FAMILIES: Final = {RmlError, ClosedError, DialogError, HistoryError}


def _met_a_doubt() -> UnknownEndError:
    """Return the end of a request whose handler met an effect in doubt: it is in doubt as well.

    As the RML3 error that it is, that doubt would be the request's last word, even after somebody
    has decided about the effect.
    """
    return UnknownEndError("an effect inside the request is in doubt")


def _denies_a_doubt(error: RmlError) -> bool:
    """Say whether an error would tell the client that nothing was done, although nobody knows."""
    ending = ending_of(error, provider_idempotent=False)
    return error.world is World.RML1 and ending.kind == "effect.in_doubt"


def _may_be_recorded(kind: type[RmlError]) -> bool:
    """Say whether an error can be an application's failure, rather than one of the library's."""
    return kind is EffectFailedError or kind in _FAMILIES or not kind.__module__.startswith("rml.")


def _text(body: bytes | bytearray) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return bytes(body)
