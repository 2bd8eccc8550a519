"""Every error of the library, and errors as users write them, keep the contract."""

import importlib
import json
import pkgutil
from collections.abc import Iterator

import pytest

import rml
from rml.error import (
    ClosedError,
    DialogError,
    HistoryError,
    IllegalPairError,
    InvalidInputError,
    MissingExtraError,
    RmlError,
)
from rml.testing import assert_error_contract
from rml.world import Action, World


class GatewayTimeout(DialogError):  # noqa: N818 - as a user names it
    """The gateway did not answer in time."""

    code = "PAYMENT_GATEWAY_TEMPORARY_ERROR"
    action = Action.RETRY_WITH_BACKOFF


class StepFailedError(DialogError, LookupError):
    """A step of the saga failed."""

    action = Action.START_COMPENSATION
    happened = False
    retry_after = 3


class FileGoneError(ClosedError, FileNotFoundError):
    """The file is gone."""


class BadTextError(ClosedError, UnicodeDecodeError):
    """The text is no text."""


class WideError(ClosedError):
    """A family is widened by its subclass."""

    world = World.RML3


OURS = [GatewayTimeout, StepFailedError, FileGoneError, BadTextError, WideError]


def _all_modules() -> None:
    for module in pkgutil.walk_packages(rml.__path__, "rml."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _family(root: type[RmlError]) -> Iterator[type[RmlError]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def test_every_error_of_the_library_keeps_the_contract() -> None:
    """Also those of modules that nobody imports by default."""
    _all_modules()
    library = {kind for kind in _family(RmlError) if kind.__module__.startswith("rml.")}
    assert len(library) > 8
    for kind in library:
        assert_error_contract(kind)


@pytest.mark.parametrize("kind", OURS)
def test_errors_as_users_write_them_keep_the_contract(kind: type[RmlError]) -> None:
    """Also mixed with builtin exceptions whose own `__init__` wants other arguments."""
    assert_error_contract(kind)


@pytest.mark.parametrize("kind", [InvalidInputError, MissingExtraError, HistoryError])
def test_errors_come_back_from_a_spawned_process(kind: type[RmlError]) -> None:
    """A process pool pickles what its function raised."""
    assert_error_contract(kind, spawn=True)


def test_every_code_of_the_library_is_its_own() -> None:
    """A code names one problem."""
    _all_modules()
    library = {kind for kind in _family(RmlError) if kind.__module__.startswith("rml.")}
    codes = [kind.code for kind in library]
    assert sorted(codes) == sorted(set(codes))


def test_a_constructor_of_its_own_is_found_out() -> None:
    """The usual way to break the contract."""

    class OwnInitError(ClosedError):
        def __init__(self, payment: str, *args: object, **options: object) -> None:
            super().__init__(f"payment {payment}")

    with pytest.raises(AssertionError):
        assert_error_contract(OwnInitError)


def test_the_contract_finds_a_lost_class() -> None:
    """The error must come back as itself."""

    class LostError(ClosedError):
        """Lost."""

        def __reduce__(self) -> tuple[object, ...]:
            return ClosedError, self.args

    with pytest.raises(AssertionError, match="pickle: came back as ClosedError"):
        assert_error_contract(LostError)


def test_a_code_that_two_classes_share_decodes_by_name() -> None:
    """Neither import fails, and neither class is taken for the other."""
    first = type("FirstError", (ClosedError,), {"code": "SHARED_CODE"})
    second = type("SecondError", (HistoryError,), {"code": "SHARED_CODE"})
    data = [kind("x").to_dict() for kind in (first, second)]
    assert [type(RmlError.from_dict(d)) for d in data] == [first, second]
    unnamed = {**data[1], "type": "elsewhere.ThirdError"}
    assert type(RmlError.from_dict(unnamed)) is HistoryError


def test_a_class_defined_again_replaces_the_first() -> None:
    """A notebook runs its cell again; a module is reloaded."""

    def define() -> type[RmlError]:
        class CellError(DialogError):
            """From a cell."""

        return CellError

    first, second = define(), define()
    assert (first.code, second.code) == ("CELL", "CELL")
    assert type(RmlError.from_dict(first("x").to_dict())) is second


def test_refusals_while_building_an_error_travel_too() -> None:
    """They are errors like any other."""
    with pytest.raises(IllegalPairError) as caught:
        DialogError("lost", action=Action.ESCALATE_HISTORY)
    args = json.loads(json.dumps(caught.value.args))
    assert type(caught.value)(*args).to_dict() == caught.value.to_dict()
