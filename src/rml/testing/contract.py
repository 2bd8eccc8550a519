"""The promises every error class keeps, as one assertion to run over your own.

A class that only declares attributes keeps them all. What usually breaks them is an `__init__` of
its own::

    @pytest.mark.parametrize("error_class", [GatewayTimeout, PaymentAlreadySettled])
    def test_errors_travel(error_class):
        assert_error_contract(error_class)
"""

import copy
import json
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from rml.error import HistoryError, RmlError
from rml.problem import from_problem, to_problem
from rml.redact import Secret
from rml.world import Action, World, legal

__all__ = ["assert_error_contract"]

_HIDDEN = "a value that no text may show"


def assert_error_contract(error_class: type[RmlError], *, spawn: bool = False) -> None:
    """Check that errors of a class survive every way errors travel.

    Built with its defaults and with details, raised from a cause, an error must come back equal
    from `type(e)(*e.args)`, JSON, pickle, `copy`, `deepcopy`, an exception group's split and its
    own dict; keep its world or a wider one; tell a client a legal problem; and show no `Secret`.

    Args:
        error_class: the class; its errors must take the arguments of `RmlError`.
        spawn: also send one through a spawned process pool. Takes about a second, and needs a class
            that another process can import.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    error = _raised(error_class)
    expected = error.to_dict()
    for way, travel in _WAYS.items():
        back = travel(error)
        assert type(back) is error_class, f"{way}: came back as {type(back).__name__}"
        assert back.to_dict() == expected, f"{way}: {back.to_dict()} is not {expected}"
        assert str(back) == str(error), f"{way}: the message changed"
    assert error.to_dict() == expected, "a journey changed the error that was sent"
    _check_tags(error)
    _check_texts(error)
    if spawn:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            failure = pool.submit(_raise, error).exception()
        assert type(failure) is error_class, f"process pool: came back as {failure!r}"
        assert failure.to_dict() == expected, f"process pool: {failure.to_dict()} is not {expected}"


def _raised(error_class: type[RmlError]) -> RmlError:
    details = {"text": "é", "nested": {"list": [7, 1.5, None]}, "secret": Secret(_HIDDEN)}
    try:
        try:
            raise ValueError("the cause")
        except ValueError as cause:
            raise error_class("It broke.", details=details, retry_after=2) from cause
    except error_class as error:
        error.add_note("a note")
        return error


def _raise(error: RmlError) -> None:
    raise error  # pragma: no cover - in the other process


def _check_tags(error: RmlError) -> None:
    kind = type(error)
    plain = kind()
    assert plain.message == kind.default_message(), "the default message is not the docstring's"
    assert plain.code == kind.code, "the code is not the class's"
    assert legal(plain.world, plain.action), f"{plain.world} may not carry {plain.action}"
    assert [cause.type for cause in error.causes] == ["ValueError"], "the cause was lost"
    assert copy.copy(error).__notes__ == ["a note"], "the notes were lost"
    try:
        raise plain from HistoryError()
    except RmlError as wrapper:
        pair = wrapper.world, wrapper.action
        assert pair == (World.RML3, Action.ESCALATE_HISTORY), "wrapping narrowed the world"


def _check_texts(error: RmlError) -> None:
    problem = to_problem(error, type_base="https://problems.example/")
    assert from_problem(json.dumps(problem)).code == error.code, "the problem lost the code"
    assert not {"severity", "causes", "happened"} & set(problem), "the problem tells too much"
    texts = [str(error), repr(error), json.dumps(error.args), json.dumps(problem)]
    texts += [json.dumps(error.to_log_fields()), repr(error.details), repr(vars(error))]
    assert not any(_HIDDEN in text for text in texts), "a Secret was shown"
    assert "nested" not in repr(error), "repr shows details"


def _split(error: RmlError) -> RmlError:
    group = ExceptionGroup("group", [error, KeyError("other")])
    ours, _ = group.split(RmlError)
    assert ours is not None, "split: the error is no longer found by its family"
    found = ours.exceptions[0]
    assert isinstance(found, RmlError), "split: the error is another"
    return found


_WAYS: dict[str, Callable[[RmlError], RmlError]] = {
    "type(e)(*e.args)": lambda error: type(error)(*error.args),
    "JSON": lambda error: type(error)(*json.loads(json.dumps(error.args, allow_nan=False))),
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),  # noqa: S301 - our own bytes
    "pickle, protocol 2": lambda error: pickle.loads(pickle.dumps(error, 2)),  # noqa: S301
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "group": _split,
    "to_dict": lambda error: RmlError.from_dict(json.loads(json.dumps(error.to_dict()))),
}
"""How errors travel; each sends one and returns what arrives."""
