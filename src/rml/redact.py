"""What must not be written down: values that hide themselves, and lists of what may be shown.

Hiding by name guesses which fields are sensitive and misses the next one. Here a sensitive value is
wrapped (`Secret`) where it enters the program, and records are filled by naming what may be
kept (`allow_list`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NoReturn, TypeVar

__all__ = ["MASK", "Secret", "allow_list"]

MASK = "**********"
"""What stands in for a secret; its length says nothing about the length of the value."""

T = TypeVar("T")


class Secret(Generic[T]):
    """A value that no text form shows: not `repr`, `str`, a format, a log line, JSON or a pickle.

    `reveal` is the one way to the value, so a search for it finds every use. Two secrets are equal
    only if they are the same object: comparing secrets byte by byte tells an attacker how far a
    guess was right, so reveal both and use `hmac.compare_digest`.

        >>> card = Secret("4242424242424242")
        >>> f"{card} {card!r}"
        "********** Secret('**********')"
        >>> card.reveal()
        '4242424242424242'
    """

    # The value lives in a closure: whoever walks attributes (a debugger's dump, an error
    # reporter's serializer) finds a function where the value would be.
    __slots__ = ("reveal",)

    reveal: Callable[[], T]
    """Return the value."""

    def __init__(self, value: T) -> None:
        def reveal() -> T:
            return value

        self.reveal = reveal

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __copy__(self) -> "Secret[T]":
        return self

    def __deepcopy__(self, memo: object) -> "Secret[T]":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: reveal it, or send a reference to it instead")

    def __getstate__(self) -> NoReturn:
        self.__reduce__()


def allow_list(values: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    """Return the named values, in the order of the names; what is not named stays behind.

    A name without a value is left out. Nested values pass whole: name them only if all of them may.

    Raises:
        TypeError: `names` is one string, which would be read as a list of letters.
    """
    if isinstance(names, str):
        raise TypeError(f"names is the string {names!r:.80}; pass a list of names: [{names!r:.80}]")
    return {name: values[name] for name in names if name in values}
