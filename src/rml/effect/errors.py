"""What a call with an idempotency key can be refused for.

The HTTP statuses follow the IETF draft of the Idempotency-Key header: 400 for a missing key, 422
for another request under the same key, 409 while a call is in flight; 409, too, where nobody knows,
or where the result cannot be given again.
"""

from __future__ import annotations

from typing import ClassVar

from rml.error import ClosedError, DialogError, HistoryError, InvalidInputError


class KeyMissingError(InvalidInputError):
    """The call has no usable idempotency key; nothing was done."""

    code = "IDEMPOTENCY_KEY_MISSING"
    happened: ClassVar[bool | None] = False
    http_status: ClassVar[int | None] = 400


class FingerprintMismatchError(ClosedError):
    """The key was used before with another request; nothing was done."""

    code = "IDEMPOTENCY_FINGERPRINT_MISMATCH"
    http_status: ClassVar[int | None] = 422


class InFlightError(DialogError):
    """Another call with the same key is being carried out; nothing was done here."""

    code = "IDEMPOTENCY_IN_FLIGHT"
    http_status: ClassVar[int | None] = 409
    happened: ClassVar[bool | None] = False


class InDoubtError(HistoryError):
    """Nobody knows whether the effect happened; a reconciler or a person has to decide."""

    code = "EFFECT_IN_DOUBT"
    http_status: ClassVar[int | None] = 409
    public_details: ClassVar[tuple[str, ...]] = ("effect", "incident")  # where to look


class ResultUnavailableError(HistoryError):
    """The effect is done, and its result cannot be given again; it is not run a second time."""

    code = "EFFECT_RESULT_UNAVAILABLE"
    happened: ClassVar[bool | None] = True
    http_status: ClassVar[int | None] = 409
    public_details: ClassVar[tuple[str, ...]] = ("effect", "incident")


class EffectFailedError(DialogError):
    """The effect failed earlier, with an exception that cannot be rebuilt here."""

    code = "EFFECT_FAILED"


class NotInDoubtError(ClosedError):
    """The effect is not in doubt, so there is nothing to decide."""

    code = "EFFECT_NOT_IN_DOUBT"


class EffectChangedError(ClosedError):
    """The effect has changed since it was looked at; nothing was decided."""

    code = "EFFECT_CHANGED"


class DefinitionError(InvalidInputError, TypeError):
    """An operation is defined in a way that cannot be kept safe."""

    code = "OPERATION_DEFINITION"


class CompensationFailedError(HistoryError):
    """What was done could not be undone; somebody has to put it right by hand."""

    code = "COMPENSATION_FAILED"


class OutcomeNotRecordedError(HistoryError):
    """The effect happened, but the ledger could not record its outcome."""

    code = "EFFECT_OUTCOME_NOT_RECORDED"
    happened: ClassVar[bool | None] = True
