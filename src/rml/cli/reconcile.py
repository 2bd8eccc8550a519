"""`rml reconcile`: ask the other side about what is in doubt, once or at intervals."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rml.cli.output import examples, json_option
from rml.cli.place import ledger_option
from rml.cli.rounds import Answer, Length, Rounds, rounds_options
from rml.cli.shape import reconciliation_shape
from rml.effect.reconcile import Questions, Reconciliation, is_defined
from rml.effect.reconciler import GRACE_SECONDS, TIMEOUT_SECONDS
from rml.effect.state import EffectState
from rml.ledger.ledger import Ledger


@click.command(
    epilog=examples(
        "rml reconcile --module shop.handlers --ledger payments.db",
        "rml reconcile --module shop.handlers --every 30s",
        "rml reconcile --module shop.handlers --operation payment.charge --json",
    )
)
@rounds_options("the handlers and their reconcilers", "Only effects of this operation.")
@click.option(
    "--grace",
    metavar="T",
    type=Length(),
    default=GRACE_SECONDS,
    help=f"Give up a worker this long after its lease has ended; {GRACE_SECONDS:g}s.",
)
@click.option(
    "--timeout",
    metavar="T",
    type=Length(),
    default=TIMEOUT_SECONDS,
    help=f"How long one reconciler may take; {TIMEOUT_SECONDS:g}s.",
)
@ledger_option
@json_option
def reconcile(*, rounds: Rounds, grace: float, timeout: float, as_json: bool) -> int:
    """Ask the other side about what is in doubt, and record what it says.

    The function that asks is the one given as reconcile= to @rml.idempotent; --module imports it,
    from the current folder or from what is installed. For sagas there is `rml resume`.
    Exit status 1: something is still in doubt. With --every: 0 when it is ended by Ctrl-C.
    """
    questions = Questions.of(rounds.operation, grace, timeout)

    def ask(ledger: Ledger) -> Iterator[Answer]:
        return map(_answer, questions.ask(ledger))

    return rounds.answer(
        ask,
        what="effect of operation",
        is_known=_is_known,
        nothing="nothing is in doubt",
        as_json=as_json,
    )


def _is_known(ledger: Ledger, operation: str) -> bool:
    return is_defined(operation) or bool(ledger.entries(operation=operation, limit=1))


def _answer(one: Reconciliation) -> Answer:
    return Answer(
        line=str(one),
        shape=reconciliation_shape(one),
        version=(one.effect.id, one.effect.version, str(one)),
        is_open=one.happened is None and one.effect.state is EffectState.IN_DOUBT,
    )
