"""Secrets that hide themselves, and lists of what may be shown."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest

from rml.redact import MASK, Secret, allow_list

CARD = "4242424242424242"


SHOWN: dict[str, Callable[[Secret[str]], str]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "f-string": lambda secret: f"{secret}",
    "f-string repr": lambda secret: f"{secret!r:>60}",
    "format spec": lambda secret: f"{secret:>60}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "format": "{}".format,
    "inside a list": lambda secret: repr([{"card": secret}]),
    "attributes": lambda secret: repr([getattr(secret, name) for name in secret.__slots__]),
    "json of str": lambda secret: json.dumps({"card": secret}, default=str),
}


@pytest.mark.parametrize("way", SHOWN)
def test_no_text_form_shows_a_secret(way: str) -> None:
    """Whoever turns it into text gets the mask."""
    assert CARD not in SHOWN[way](Secret(CARD))


def test_the_value_is_revealed_on_demand() -> None:
    """The one way to the value."""
    assert Secret(CARD).reveal() == CARD


def test_the_mask_does_not_tell_the_length() -> None:
    """Short and long secrets look the same."""
    assert str(Secret("x")) == str(Secret(CARD)) == MASK


def test_a_secret_does_not_become_json_by_accident() -> None:
    """The encoder refuses it, and its message does not show it."""
    with pytest.raises(TypeError) as caught:
        json.dumps({"card": Secret(CARD)})
    assert CARD not in str(caught.value)


def test_a_secret_is_not_pickled() -> None:
    """A pickle is a file with the value in clear."""
    with pytest.raises(TypeError, match="reveal it"):
        pickle.dumps(Secret(CARD))
    with pytest.raises(TypeError, match="reveal it"):
        Secret(CARD).__getstate__()


def test_copies_of_a_secret_are_the_secret() -> None:
    """Configuration objects are copied; their secrets stay hidden and usable."""
    secret = Secret(CARD)
    assert copy.copy(secret) is copy.deepcopy([secret])[0] is secret


def test_a_traceback_with_locals_shows_the_mask() -> None:
    """Error reporters print local variables by their repr."""
    card = Secret(CARD)
    try:
        raise ValueError(card)
    except ValueError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(shown.format())
    assert "card = Secret(" in text
    assert MASK in text
    assert f"card = {CARD!r}" not in text
    assert card.reveal() == CARD


def test_a_log_line_shows_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    """Log arguments are formatted late."""
    logging.getLogger("shop").error("card %s", Secret(CARD))
    assert caplog.messages == [f"card {MASK}"]


def test_only_named_values_pass() -> None:
    """In the order of the names; a name without value is no error."""
    values = {"card": CARD, "amount": 7, "currency": "EUR"}
    assert list(allow_list(values, ["currency", "amount", "tip"]).items()) == [
        ("currency", "EUR"),
        ("amount", 7),
    ]


def test_one_string_is_not_a_list_of_names() -> None:
    """It would let through fields named by its letters."""
    with pytest.raises(TypeError, match=r"pass a list of names: \['amount'\]"):
        allow_list({"amount": 7}, "amount")
