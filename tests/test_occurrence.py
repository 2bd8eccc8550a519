"""Alert, bug or incident: told apart by the world that a problem reached."""

from typing import Any

import pytest

import rml
from rml.incident.signals.occurrence import Occurrence, classify


class Charged(rml.HistoryError):
    """A customer was charged twice."""


class Slow(rml.DialogError):
    """The gateway did not answer in time."""


def test_worlds_tell_alert_bug_and_incident_apart() -> None:
    """Only history, or the suspicion of it, is an incident."""
    slow = Slow()
    assert Occurrence.ALERT is classify()
    assert Occurrence.ALERT is classify(world="RML2")
    assert Occurrence.ALERT is classify(Slow())
    assert Occurrence.ALERT is classify(ExceptionGroup("both", [Slow(), rml.ClosedError()]))
    assert Occurrence.BUG is classify(KeyError("x"))
    assert Occurrence.BUG is classify(ExceptionGroup("both", [Slow(), KeyError("x")]))
    assert Occurrence.ALERT is classify(ExceptionGroup("twice", [slow, slow]))
    assert Occurrence.INCIDENT is classify(world="RML-3")
    assert Occurrence.INCIDENT is classify(Charged())
    assert Occurrence.INCIDENT is classify(ExceptionGroup("both", [KeyError("x"), Charged()]))
    assert Occurrence.INCIDENT is classify(Slow(), gray=True)
    assert Occurrence.INCIDENT is classify(gray=True)


@pytest.mark.parametrize("call", [{"problem": "words"}, {"world": "RML4"}, {"world": None}])
def test_what_cannot_be_classified(call: dict[str, Any]) -> None:
    """Only exceptions and worlds are told apart."""
    with pytest.raises(rml.InvalidInputError):
        classify(**call)
