"""What a type checker must see in the errors. Never executed: mypy reads it, strictly."""

from typing import assert_type

import rml
from rml import Action, Severity, World


class GatewayTimeout(rml.DialogError):
    """The gateway did not answer in time."""

    code = "PAYMENT_GATEWAY_TEMPORARY_ERROR"
    action = Action.RETRY_WITH_BACKOFF


def reads_the_tags(error: rml.RmlError) -> None:
    assert_type(error.world, World)
    assert_type(error.action, Action)
    assert_type(error.severity, Severity)
    assert_type(error.code, str)
    assert_type(error.message, str)
    assert_type(error.happened, bool | None)


def raises_with_everything(payment_id: str) -> None:
    raise GatewayTimeout(
        "The gateway did not answer in 5 s.",
        severity=Severity.WARNING,
        details={"payment_id": payment_id},
        happened=None,
        retry_after=2.0,
    )


def worlds_are_ordered() -> None:
    assert_type(World.RML1 < World.RML3, bool)
    assert_type(World("RML-3"), World)


def families_are_rml_errors() -> list[type[rml.RmlError]]:
    return [rml.ClosedError, rml.DialogError, rml.HistoryError]
