"""What a decorator is called with by mistake: refused where it is written, with what to write."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import rml


@rml.idempotent("spelling.step", key="key")
def step(key: str) -> None:
    """Stand in a saga's steps."""


def handler(key: str) -> None:
    """Be decorated."""


def undoing(effect: rml.Effect) -> None:
    """Be decorated as a compensator."""


# Each decorator: what it is called with rightly, and a function for it.
RIGHT: dict[str, tuple[tuple[Any, ...], dict[str, Any], Callable[..., Any]]] = {
    "boundary": (("checkout",), {}, handler),
    "compensator": (("spelling.undo",), {}, undoing),
    "guard": (("spelling.guarded",), {}, handler),
    "idempotent": (("spelling.once",), {"key": "key"}, handler),
    "retry": ((), {"effect": False}, handler),
    "saga": (("spelling.saga",), {"key": "key", "steps": {step: None}}, handler),
}
EACH = pytest.mark.parametrize("name", sorted(RIGHT))


def refused(name: str, *args: Any, **kwargs: Any) -> str:
    """Return the words in which a call is refused: those of an error of rml's."""
    with pytest.raises(rml.InvalidInputError) as caught:
        getattr(rml, name)(*args, **kwargs)
    return caught.value.message


@EACH
def test_the_right_spelling_is_taken(name: str) -> None:
    """By the decorator, and for the function."""
    args, kwargs, function = RIGHT[name]

    assert callable(getattr(rml, name)(*args, **kwargs)(function))


@EACH
def test_bare(name: str) -> None:
    """The parentheses are missing; the words show how it is written."""
    said = refused(name, RIGHT[name][2])

    assert said.startswith(f"@rml.{name} stands without its parentheses; write @rml.{name}(")


@EACH
def test_an_argument_that_does_not_exist(name: str) -> None:
    """A misspelt one is named, with the nearest that exists."""
    args, kwargs, _ = RIGHT[name]

    said = refused(name, *args, **kwargs, ledgr="elsewhere", tmeout=3)

    assert said.startswith(f"@rml.{name} takes no ledgr=")
    if "ledger" in inspect.signature(getattr(rml, name)).parameters:
        assert "did you mean ledger=?" in said
    assert f"write @rml.{name}(" in said


@pytest.mark.parametrize("name", sorted(RIGHT.keys() - {"retry"}))
def test_an_argument_that_is_missing(name: str) -> None:
    """The name of what is decorated in the ledger, at least."""
    said = refused(name)

    assert said.startswith(f"@rml.{name} needs ")
    assert f"write @rml.{name}(" in said


@pytest.mark.parametrize("name", ["idempotent", "saga"])
def test_a_key_that_is_missing(name: str) -> None:
    """It is what everybody forgets first."""
    assert refused(name, "payment.charge").startswith(f"@rml.{name} needs key=")


@EACH
def test_too_many_without_a_name(name: str) -> None:
    """Only the operation goes without one."""
    said = refused(name, "payment.charge", "payment_id")

    assert " by position; write " in said
    assert f"write @rml.{name}(" in said


@EACH
@pytest.mark.parametrize("decorated", [5, None, "text", object()], ids=["5", "None", "text", "it"])
def test_what_is_no_function(name: str, decorated: Any) -> None:
    """It is refused when it is decorated, and not when it is called."""
    args, kwargs, _ = RIGHT[name]

    with pytest.raises(rml.InvalidInputError, match=r"function"):
        getattr(rml, name)(*args, **kwargs)(decorated)


def test_a_guarded_class() -> None:
    """Its instances would be made, or not; no call of theirs would ask."""
    with pytest.raises(
        rml.DefinitionError, match=r"guard of 'spelling\.guarded' must decorate a function"
    ):
        rml.guard("spelling.guarded")(type("Till", (), {}))
