"""Text of others as it can be shown: what does not print stands in it as its escape.

Titles, keys, reasons and lines of logs come from anywhere. What a terminal would obey, or what
turns the direction of the text around it, must not reach a reader as it is.
"""

from __future__ import annotations

import unicodedata


def legible(text: str) -> str:
    r"""Return text in which every character that does not print is written as its escape.

    >>> print(legible("paid\x1b[2K\rrefused \N{RIGHT-TO-LEFT OVERRIDE}x"))
    paid\x1b[2K\rrefused \u202ex
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def line(text: str) -> str:
    """Return text on one line, so that nobody can add another to what is shown."""
    return legible(" ".join(text.split()))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":  # the many widths of a space
        return " "
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
