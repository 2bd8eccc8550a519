"""How a decorator is written: what Python itself would refuse, refused with the right spelling."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from rml.effect.errors import DefinitionError

F = TypeVar("F", bound=Callable[..., Any])
Parameters = Mapping[str, inspect.Parameter]


def spelled(example: str) -> Callable[[F], F]:
    """Have a decorator refuse arguments that are not its own by a :class:`DefinitionError`.

    Args:
        example: the decorator as it is written, such as ``@rml.guard("payment.charge")``.
    """
    name = example.partition("(")[0]

    def decorate(define: F) -> F:
        parameters = dict(inspect.signature(define).parameters)
        owners = parameters.pop("self", None) is not None

        @functools.wraps(define)
        def checked(*args: Any, **kwargs: Any) -> Any:
            wrong = _wrong(parameters, args[owners:], kwargs)
            if wrong is not None:
                raise DefinitionError(f"{name} {wrong}; write {example}")
            return define(*args, **kwargs)

        return cast("F", checked)

    return decorate


def _wrong(
    parameters: Parameters, args: Sequence[object], kwargs: Mapping[str, object]
) -> str | None:
    """Say what is wrong with a call, if something is."""
    if len(args) == 1 and not kwargs and callable(args[0]):
        return "stands without its parentheses"
    places = [n for n, p in parameters.items() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    if len(args) > len(places):
        return f"takes {f'only {places[0]}' if places else 'nothing'} by position"
    given = {*places[: len(args)], *kwargs}
    for word in kwargs:
        if word not in parameters:
            near = difflib.get_close_matches(word, parameters.keys() - given, 1)
            return f"takes no {word}=" + (f", did you mean {near[0]}=?" if near else "")
        if word in places[: len(args)]:
            return f"is given {word} twice"
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in given]
    return f"needs {' and '.join(f'{n}=' for n in missing)}" if missing else None
