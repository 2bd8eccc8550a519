"""`rml resume`: go on with sagas that have not ended, once or at intervals."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rml.cli.output import examples, json_option
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.rounds import (
    Answer,
    answer,
    import_modules,
    modules_option,
    pause_between,
    rounds_options,
)
from rml.cli.shape import saga_shape
from rml.config import use
from rml.effect.saga import is_saga, resume_sagas
from rml.effect.saga_state import Saga, SagaState
from rml.ledger.ledger import Ledger
from rml.tag import shown


@click.command(
    epilog=examples(
        "rml resume --module shop.handlers --ledger payments.db",
        "rml resume --module shop.handlers --every 1m",
        "rml resume --module shop.handlers --operation order.place --json",
    )
)
@modules_option("the sagas, their handlers and compensators")
@click.option("--operation", metavar="OP", help="Only sagas of this name.")
@rounds_options
@ledger_option
@json_option
def resume(
    *,
    modules: tuple[str, ...],
    operation: str | None,
    once: bool,
    every: float | None,
    as_json: bool,
) -> int:
    """Go on with every saga that has not ended and that nobody is carrying out.

    Forwards, by running its function again, or back, by undoing its steps; what is done is not done
    again. --module imports the functions, from the current folder or from what is installed. What
    keeps a saga from going on is said; where it is a doubt, run `rml reconcile` before.
    Exit status 1: a saga has not ended. With --every: 0 when it is ended by Ctrl-C.
    """
    pause = pause_between(once=once, every=every)
    import_modules(modules)
    with opened_ledger() as ledger, use(ledger=ledger):
        if operation is not None:
            _check_known(ledger, operation)

        def ask() -> Iterator[Answer]:
            return map(_answer, resume_sagas(ledger=ledger, operation=operation))

        return answer(ask, pause, nothing="there is no saga to go on with", as_json=as_json)


def _check_known(ledger: Ledger, operation: str) -> None:
    """Refuse a name that nobody knows: that none of it has to go on says nothing."""
    if is_saga(operation) or ledger.entries(kind="saga.started", operation=operation, limit=1):
        return
    raise click.ClickException(
        f"no saga {shown(operation)} is in this ledger, and no module given by --module defines it"
    )


def _answer(saga: Saga) -> Answer:
    return Answer(
        line=str(saga),
        shape={**saga_shape(saga), "trouble": saga.trouble},
        version=(saga.id, str(saga)),
        is_open=saga.state in (SagaState.RUNNING, SagaState.COMPENSATING),
    )
