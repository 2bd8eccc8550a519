"""The written form of a case file: plain data to readable YAML, and back with places.

Reading accepts what people write and refuses what could mislead: aliases, duplicate keys, tags
that build objects, numbers that YAML 1.1 and 1.2 read differently. Times stay text, which the model
reads. Every refusal names line and column.

Writing uses a small part of YAML, so that no text can be taken for structure. A single word that
no YAML version reads as anything but text stands bare; everything else is in double quotes with
what cannot be seen escaped, or, if it has several lines or is long, in an indented block.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import attrs

from rml.clock import utc_text
from rml.error import InvalidInputError

if TYPE_CHECKING:
    import yaml

DOCUMENT_BYTES_MAX: Final = 2**22  # a case file is one page; this is 20,000 timeline events
NESTING_MAX: Final = 24  # the template needs five levels; the parser recurses once a level
VALUES_MAX: Final = 200_000  # bounds the memory that a document of tiny values costs
WIDTH: Final = 80  # text of one line that is longer is folded

Path = tuple[str | int, ...]

_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = frozenset(_TAG + name for name in ("str", "timestamp", "value", "merge"))
_BOOLEANS: Final = {
    "yes": True,
    "true": True,
    "on": True,
    "no": False,
    "false": False,
    "off": False,
}
_NULLS: Final = frozenset({"", "~", "null"})
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,15})", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)

_BARE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)
# Words that some version of YAML reads as a boolean, as nothing or as a number.
_RESERVED: Final = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
)
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_INDENT: Final = "  "
# What libyaml and PyYAML read, or place, differently: odd blanks and breaks, `?`, `!`, `%`, `---`,
# a comment right behind `|`, and nothing at all.
_DISPUTED: Final = re.compile(
    r"[\t\r\x85\u2028\u2029\ufeff]"
    r"|(?:^|[\s\[{,:-])(?:[?!%]|---|\.\.\.)"
    r"|[|>][-+0-9]*#"
    r"|\A\s*\Z",
    re.MULTILINE,
)


@attrs.frozen
class Document:
    """Plain data read from YAML, and where each value stands."""

    value: object
    """``None``, bool, int, float, str, and lists and mappings of them."""
    _keys: Mapping[Path, tuple[int, int]] = attrs.field(repr=False)
    _values: Mapping[Path, tuple[int, int]] = attrs.field(repr=False)

    def place(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Return line and column, from 1, of the value at ``path``, or of the key that names it."""
        places = self._keys if key else self._values
        return places.get(path, (1, 1))


def refusal_at(place: tuple[int, int], message: str) -> InvalidInputError:
    """Return the error that points at a line and a column of a case file."""
    line, column = place
    details = {"line": line, "column": column}
    return InvalidInputError(f"line {line}, column {column}: {message}", details=details)


# ------------------------------------------------------------------------------------- reading


def parse_yaml(text: str | bytes) -> Document:
    """Read one YAML document of plain data.

    Raises:
        InvalidInputError: says what was expected, at which line and column.
    """
    import yaml

    source = _decoded(text)
    loader = None
    try:
        root = _composed_by_libyaml(source)
        if root is None:
            loader = _loader()(source)
            root = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        place = _place_of(source, error.position)
        raise refusal_at(
            place, "a character that YAML does not allow; write it as an escape"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise refusal_at(_after(mark), f"this is not YAML: {why}") from None
    except (ValueError, OverflowError) as error:
        # PyYAML lets these through for escapes and version numbers that are out of range.
        if isinstance(error, InvalidInputError):
            raise
        place = _after(loader.get_mark() if loader else None)
        raise refusal_at(place, "this is not YAML: a number is out of range") from None
    walk = _Walk()
    value = None if root is None else walk.value(root, ())
    return Document(value, walk.keys, walk.values)


def _decoded(source: object) -> str:
    if isinstance(source, str):
        _check_size(len(source))  # before the copy below: no text has more characters than bytes
        _check_size(len(source.encode(errors="replace")))
        return source.removeprefix("\ufeff")
    if not isinstance(source, bytes):
        raise InvalidInputError(f"a case file is text or bytes, not {type(source).__name__}")
    _check_size(len(source))
    try:
        return source.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = _place_of(source[: error.start].decode(), error.start)
        message = f"byte {error.start} is not UTF-8; save the file as UTF-8"
        raise refusal_at(place, message) from None


def _check_size(count: int) -> None:
    if count > DOCUMENT_BYTES_MAX:
        raise InvalidInputError(
            f"the case file has {count} bytes; at most {DOCUMENT_BYTES_MAX} (DOCUMENT_BYTES_MAX)"
        )


def _place_of(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _after(mark: Any) -> tuple[int, int]:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)


def _composed_by_libyaml(source: str) -> yaml.Node | None:
    """Return a document as libyaml composes it, several times as fast as Python does.

    ``None`` where there is no libyaml; where the two might not agree; and for whatever is refused:
    the loader below says why. Its bounds are looked at before anything is composed, which in C
    recurses without one.
    """
    import yaml

    if not yaml.__with_libyaml__ or _DISPUTED.search(source):
        return None
    nesting = count = 0
    try:
        for event in yaml.parse(source, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                return None
            nesting += isinstance(event, yaml.CollectionStartEvent)
            nesting -= isinstance(event, yaml.CollectionEndEvent)
            count += isinstance(event, yaml.NodeEvent)
            if nesting >= NESTING_MAX or count > VALUES_MAX:
                return None
        return yaml.compose(source, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError):
        return None


@cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's safe loader, without aliases and with bounds."""

        nesting = 0
        count = 0

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
            place = _after(event.start_mark)
            if isinstance(event, yaml.AliasEvent):
                raise refusal_at(place, "aliases are not allowed; write the value out")
            self.nesting += 1
            self.count += 1
            if self.nesting > NESTING_MAX:
                raise refusal_at(place, f"nested more than {NESTING_MAX} deep (NESTING_MAX)")
            if self.count > VALUES_MAX:
                raise refusal_at(place, f"more than {VALUES_MAX} values (VALUES_MAX)")
            node = super().compose_node(parent, index)
            self.nesting -= 1
            return node

    return Loader


class _Walk:
    """From nodes to plain data, noting where each value and each key stands."""

    def __init__(self) -> None:
        self.keys: dict[Path, tuple[int, int]] = {}
        self.values: dict[Path, tuple[int, int]] = {}

    def value(self, node: yaml.Node, path: Path) -> object:
        place = _after(node.start_mark)
        self.values[path] = place
        if isinstance(node.value, str) and node.tag.startswith(_TAG):
            return _scalar(node.tag, node.value, place)
        if node.tag == _TAG + "seq":
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        if node.tag == _TAG + "map":
            return self._mapping(node, path)
        raise refusal_at(place, f"the tag {node.tag!r} is not allowed; write plain YAML")

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            place = _after(key_node.start_mark)
            if key_node.tag not in _TEXT_TAGS:
                raise refusal_at(place, "expected a key that is text; put it in quotes")
            key = key_node.value
            if key in found:
                first = self.keys[*path, key][0]
                raise refusal_at(place, f"the key {key!r} is here twice, first in line {first}")
            self.keys[*path, key] = place
            found[key] = self.value(value_node, (*path, key))
        return found


def _scalar(tag: str, text: str, place: tuple[int, int]) -> object:
    if tag in _TEXT_TAGS:
        return text
    word = text.lower()
    kind = tag.removeprefix(_TAG)
    if kind == "null" and word in _NULLS:
        return None
    if kind == "bool" and word in _BOOLEANS:
        return _BOOLEANS[word]
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if kind in {"int", "float"}:
        why = f"{text[:40]!r} is not a plain decimal number; write it as one, or put it in quotes"
        raise refusal_at(place, why)
    raise refusal_at(place, f"the tag {'!!' + kind!r} is not allowed here; write plain YAML")


# ------------------------------------------------------------------------------------- writing


def dump_yaml(value: Mapping[str, object]) -> str:
    """Write plain data as YAML in block style; datetimes become bare timestamps in UTC.

    Raises:
        InvalidInputError: the text would be larger than :func:`parse_yaml` reads.
    """
    text = "\n".join(_block(value, "")) + "\n"
    _check_size(len(text.encode()))
    return text


def time_text(moment: datetime) -> str:
    """Write a moment as ``2025-06-01T10:23:45Z``, with a fraction only where it has one."""
    return utc_text(moment).removesuffix("Z").rstrip("0").rstrip(".") + "Z"


def _block(value: Any, pad: str) -> list[str]:
    """Return the lines of a mapping or list that is not empty, each indented by ``pad``."""
    if isinstance(value, Mapping):
        entries = (_entry(f"{pad}{_inline_text(key)}:", value[key], pad) for key in value)
    else:
        entries = (_item(item, pad) for item in value)
    return [line for lines in entries for line in lines]


def _entry(head: str, item: object, pad: str) -> list[str]:
    if _is_nested(item):
        return [head, *_block(item, pad + _INDENT)]
    first, *rest = _leaf(item, pad + _INDENT)
    return [f"{head} {first}", *rest]


def _item(item: object, pad: str) -> list[str]:
    inner = pad + _INDENT
    first, *rest = _block(item, inner) if _is_nested(item) else _leaf(item, inner)
    return [f"{pad}- {first.removeprefix(inner)}", *rest]


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and len(value) > 0


def _leaf(value: object, pad: str) -> list[str]:
    """Return a value without structure as lines; the first goes behind its key or dash."""
    if isinstance(value, str):
        return _text(value, pad)
    if isinstance(value, datetime):
        return [time_text(value)]
    if isinstance(value, float):
        return [_float_text(value)]
    if isinstance(value, Mapping):
        return ["{}"]
    if isinstance(value, list | tuple):
        return ["[]"]
    return ["null" if value is None else str(value).lower()]


def _float_text(value: float) -> str:
    mantissa, e, exponent = repr(value).partition("e")
    if e and "." not in mantissa:
        mantissa += ".0"  # YAML 1.1 knows a float by its point
    return mantissa + e + exponent


def _text(text: str, pad: str) -> list[str]:
    body = text.removesuffix("\n")
    chomp = "" if body != text else "-"
    lines = body.split("\n")
    if not all(line.isprintable() and line == line.rstrip() for line in lines):
        return [_inline_text(text)]
    if not lines[0] or lines[0][0] == " " or not lines[-1]:
        return [_inline_text(text)]
    if len(lines) == 1 and len(body) > WIDTH:
        wrapped = textwrap.wrap(body, WIDTH, break_long_words=False, break_on_hyphens=False)
        if " ".join(wrapped) == body:
            return [f">{chomp}", *(pad + line for line in wrapped)]
    if len(lines) > 1:
        return [f"|{chomp}", *(pad + line if line else "" for line in lines)]
    return [_inline_text(text)] if chomp else ["|", pad + body]


def _inline_text(text: str) -> str:
    """Return text on one line: bare if nobody could take it for anything else, else in quotes."""
    if _BARE.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"  # noqa: PLR2004
