"""What stops a function before it begins: a lever, which anybody may pull without a deploy.

A protected handler has one under its operation's name. It is asked before an intent is recorded, so
a call that a lever stops leaves nothing behind, and one whose effect is done is still given its
recorded value.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

import attrs

from rml.config import current_ledger
from rml.context import surroundings
from rml.effect.definition import protected_by, seconds
from rml.effect.errors import DefinitionError
from rml.effect.operation import Operation
from rml.effect.request import Arguments, binder, pick, selector
from rml.effect.spelling import spelled
from rml.error import InvalidInputError
from rml.incident.levers.lever import Standing, Whose, refuse
from rml.incident.levers.lever_watch import (
    BLIND_SECONDS_MAX,
    LOOK_SECONDS,
    is_known,
    standing,
    standing_in,
)
from rml.ledger.content import as_world
from rml.ledger.draft import Draft
from rml.ledger.entry import check_kind
from rml.ledger.ledger import Ledger
from rml.tag import shown
from rml.world import World

P = ParamSpec("P")
R = TypeVar("R")
Names = tuple[object, object]

# The guard of a function, and the function that asks it; decorators that use functools.wraps carry
# it on, and are told from the function by the second.
_GUARDED: Final = "__rml_guarded__"


@attrs.frozen(kw_only=True)
class Guard:
    """The lever of an operation, where a program asks whether it is pulled; :func:`guard` makes it.

    Attributes:
        operation: the operation that the lever stops.
    """

    operation: str
    look: float = LOOK_SECONDS
    blind: float | None = BLIND_SECONDS_MAX
    tenant: str | Callable[..., Any] | None = None
    region: str | Callable[..., Any] | None = None
    ledger: Ledger | None = attrs.field(default=None, repr=False)

    def check(self, *, tenant: str | None = None, region: str | None = None) -> None:
        """Go on, or refuse to; in front of what the lever is to stop.

        Args:
            tenant: whose call it is, if known.
            region: where it is about to happen, if known.

        Raises:
            LeverPulledError: the lever is pulled.
            LeverUnreadableError: the ledger could not be read for too long.
            NoLedgerError: no ledger is configured.
        """
        self._refuse(current_ledger(self.ledger), (tenant, region))

    def is_known(self, ledger: Any) -> bool:
        """Say whether it is known already, without reading the ledger, if the lever is pulled."""
        return is_known(ledger if self.ledger is None else self.ledger, self.look)

    def admit(self, ledger: Any, scope: str | None, facts: Mapping[str, Any]) -> None:
        """Refuse an effect, whose intent would say this, if the lever is pulled.

        Raises:
            LeverPulledError: it is.
            LeverUnreadableError: the ledger could not be read for too long.
        """
        levers = self._standing(ledger if self.ledger is None else self.ledger)
        if levers:
            refuse(levers, self.operation, Whose.of(scope, facts))

    def admit_in(
        self, draft: Draft, ledger: Any, scope: str | None, facts: Mapping[str, Any]
    ) -> None:
        """Ask again in the commit of the intent, which may have waited for its turn to write.

        Raises:
            LeverPulledError: the lever was pulled meanwhile.
        """
        if self.ledger in (None, ledger):
            levers = standing_in(draft, ledger, self.look)
            if levers:
                refuse(levers, self.operation, Whose.of(scope, facts))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Guard a function; a protected handler is refused before its intent.

        Raises:
            DefinitionError: it is no function; ``tenant`` or ``region`` names no parameter; or the
                function is a protected handler, whose own records say whose its calls are.
        """
        operation = protected_by(function)
        if operation is None:
            _check_function(self.operation, function)
            return self._around(function)
        self.stand_at(operation)
        return function

    def stand_at(self, operation: Operation) -> None:
        """Have a protected handler ask it before every intent.

        Raises:
            DefinitionError: it picks from arguments whose a call is.
        """
        if self.tenant is not None or self.region is not None:
            raise DefinitionError(
                f"the guard of {self.operation!r} stands at a protected handler, whose scope or "
                "facts `tenant` and `region` say whose a call is; leave out tenant= and region="
            )
        if self not in operation.guards:
            operation.guards.append(self)

    def _around(self, function: Callable[P, R]) -> Callable[P, R]:
        whose = self._reader(function)
        guarded: Any

        if inspect.iscoroutinefunction(function):
            threads = importlib.import_module("rml.threads")

            @functools.wraps(function)
            async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
                ledger, names = current_ledger(self.ledger), whose(*args, **kwargs)
                if is_known(ledger, self.look):
                    self._refuse(ledger, names)
                else:
                    await threads.run(self._refuse, ledger, names)
                return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
                self._refuse(current_ledger(self.ledger), whose(*args, **kwargs))
                return function(*args, **kwargs)

        setattr(guarded, _GUARDED, (self, guarded))
        asks: Callable[P, R] = guarded
        return asks

    def _refuse(self, ledger: Ledger, names: Names) -> None:
        levers, around = self._standing(ledger), surroundings()
        if levers:
            whose = Whose.named([names[0], around.tenant], [names[1], around.region])
            refuse(levers, self.operation, whose)

    def _standing(self, ledger: Ledger) -> Standing:
        return standing(ledger, self.operation, look=self.look, blind=self.blind)

    def _reader(self, function: Callable[..., Any]) -> Callable[..., Names]:
        """Return a function of a call's arguments that says whose the call is."""
        if self.tenant is None and self.region is None:
            return lambda *_args, **_kwargs: (None, None)
        signature = inspect.signature(function)
        bind = binder(signature, function.__name__)
        picks = [
            None if spec is None else selector(what, spec, signature.parameters)
            for what, spec in (("tenant", self.tenant), ("region", self.region))
        ]

        def read(*args: Any, **kwargs: Any) -> Names:
            arguments: Arguments = bind(*args, **kwargs)
            tenant, region = (
                None if one is None else pick("tenant or region", one, arguments) for one in picks
            )
            return tenant, region

        return read


@spelled('@rml.guard("payment.charge")')
def guard(
    operation: str,
    *,
    tenant: str | Callable[..., Any] | None = None,
    region: str | Callable[..., Any] | None = None,
    world: World | str = World.RML3,
    look: float | timedelta = LOOK_SECONDS,
    blind: float | timedelta = BLIND_SECONDS_MAX,
    ledger: Ledger | None = None,
) -> Guard:
    """Return the lever of an operation: a decorator, or ``rml.guard(...).check()`` before a block.

    Handlers of ``@rml.idempotent`` and ``@rml.compensator`` have one under their own name. This is
    for functions that are not protected, and for one lever over several operations.

    :meth:`rml.Levers.pull` stops what it guards, in this process at once, elsewhere within ``look``
    seconds.

    Args:
        operation: the name by which the lever is pulled, such as ``payment.charge``.
        tenant: picks from the function's arguments whose call it is, as ``key=`` of
            ``@rml.idempotent`` does. :func:`rml.surrounded` may say it, too.
        region: likewise, where it happens.
        world: where the effect takes place. In RML3, what cannot be known to be allowed is refused.
        look: how old, in seconds, what is known of levers may be before the ledger is asked again.
        blind: how old it may be, in RML3, where the ledger cannot be read.
        ledger: the ledger in which levers are pulled, if not the configured one.

    Raises:
        DefinitionError: a value is out of range or of the wrong type.
    """
    try:
        check_kind(operation)
    except InvalidInputError as error:
        raise DefinitionError(
            f"guard of {shown(operation)}: an operation is named by dotted lower-case words, such "
            "as 'payment.charge'"
        ) from error
    if ledger is not None and not isinstance(ledger, Ledger):
        raise DefinitionError(f"ledger must be an rml.Ledger, not {type(ledger).__name__}")
    safe = seconds("blind", blind, 0)
    return Guard(
        operation=operation,
        tenant=tenant,
        region=region,
        look=seconds("look", look, 0),
        blind=safe if as_world(world) is World.RML3 else None,
        ledger=ledger,
    )


def _check_function(operation: str, function: object) -> None:
    if isinstance(function, type) or not callable(function):
        raise DefinitionError(
            f"the guard of {operation!r} must decorate a function, not {shown(function)}"
        )


def without_guards(handler: Callable[P, R]) -> tuple[Callable[P, R], list[Guard]]:
    """Return a handler without the guards at its top, and these, for who asks them itself.

    Raises:
        DefinitionError: a guard stands below another decorator, so that it would be asked only
            after the intent.
    """
    guards: list[Guard] = []
    while (mark := getattr(handler, _GUARDED, None)) is not None:
        one, asks = mark
        if asks is not handler:
            raise DefinitionError(
                f"@rml.guard({one.operation!r}) stands below another decorator, so it would be "
                "asked only after the intent; write it above @rml.idempotent"
            )
        guards.append(one)
        handler = handler.__wrapped__
    return handler, guards
