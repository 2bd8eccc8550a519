"""`rml resume`: go on with sagas that have not ended, once or at intervals."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rml.cli.output import examples, json_option
from rml.cli.place import ledger_option
from rml.cli.rounds import Answer, Rounds, rounds_options
from rml.cli.shape import saga_shape
from rml.effect.saga import is_saga, resume_sagas
from rml.effect.saga_state import Saga, SagaState
from rml.ledger.ledger import Ledger


@click.command(
    epilog=examples(
        "rml resume --module shop.handlers --ledger payments.db",
        "rml resume --module shop.handlers --every 1m",
        "rml resume --module shop.handlers --operation order.place --json",
    )
)
@rounds_options("the sagas, their handlers and compensators", "Only sagas of this name.")
@ledger_option
@json_option
def resume(*, rounds: Rounds, as_json: bool) -> int:
    """Go on with every saga that has not ended and that nobody is carrying out.

    Forwards, by running its function again, or back, by undoing its steps; what is done is not done
    again. --module imports the functions, from the current folder or from what is installed. What
    keeps a saga from going on is said; where it is a doubt, run `rml reconcile` before.
    Exit status 1: a saga has not ended. With --every: 0 when it is ended by Ctrl-C.
    """

    def ask(ledger: Ledger) -> Iterator[Answer]:
        return map(_answer, resume_sagas(ledger=ledger, operation=rounds.operation))

    return rounds.answer(
        ask,
        what="saga",
        is_known=_is_known,
        nothing="there is no saga to go on with",
        as_json=as_json,
    )


def _is_known(ledger: Ledger, operation: str) -> bool:
    return is_saga(operation) or bool(
        ledger.entries(kind="saga.started", operation=operation, limit=1)
    )


def _answer(saga: Saga) -> Answer:
    return Answer(
        line=str(saga),
        shape={**saga_shape(saga), "trouble": saga.trouble},
        version=(saga.id, str(saga)),
        is_open=saga.state in (SagaState.RUNNING, SagaState.COMPENSATING),
    )
