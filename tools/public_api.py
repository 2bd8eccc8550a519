"""Write down the public API: a snapshot of names and signatures, and the reference page.

    python tools/public_api.py            write both files anew
    python tools/public_api.py --check    change nothing; exit 1 where a file is out of date

The snapshot shows in a diff what a change does to people who call us. The page is the docstrings.
"""

import difflib
import enum
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import rml

ROOT = Path(__file__).parent.parent
SNAPSHOT = ROOT / "tests" / "vectors" / "public_api.txt"
PAGE = ROOT / "docs" / "reference" / "api.md"

PAGE_HEAD = """# The names of `rml`

Everything that `import rml` gives you.
This page is made from the docstrings by `python tools/public_api.py`.
"""
SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Example|Examples|Note):$")


class Bare(str):
    """An annotation that prints without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def bare(annotation: object) -> object:
    """An annotation as it was written."""
    return Bare(annotation) if isinstance(annotation, str) else annotation


def signature(value: object) -> str:
    """The signature as text that is the same on every Python and in every process."""
    try:
        found = inspect.signature(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"
    written = [p.replace(annotation=bare(p.annotation)) for p in found.parameters.values()]
    returns = bare(found.return_annotation)
    text = str(found.replace(parameters=written, return_annotation=returns))
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", text).replace("NOTHING", "...")


def inner_bases(owner: type) -> list[type]:
    """The bases of ours that have no public name: what they have is told of the class itself."""
    found: list[type] = []
    for base in owner.__bases__:
        if base.__module__.startswith("rml.") and not hasattr(rml, base.__name__):
            found += [base, *inner_bases(base)]
    return found


def members(owner: type) -> Iterator[tuple[str, str]]:
    """The public members that a class adds to its public bases, each with its line."""
    own: dict[str, object] = {}
    written: dict[str, object] = {}
    for part in reversed((owner, *inner_bases(owner))):
        own |= vars(part)
        written |= inspect.get_annotations(part)
    for name in sorted(written.keys() | own.keys()):
        value = own.get(name)
        inner = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        kind = type(value).__name__ + " " if inner is not value else ""
        if name.startswith("_") or type(value) is owner:  # an enum's members are shown already
            continue
        if inspect.isfunction(inner):
            yield name, f"{kind}{name}{signature(inner)}"
        elif isinstance(value, property):
            yield name, f"{name}: {bare(signature(value.fget).partition(' -> ')[2])!r}"
        elif name in written:
            yield name, f"{name}: {bare(written[name])!r}"
        elif isinstance(value, (str, int, float, bool)):
            yield name, f"{name} = {value!s}"


def describe(name: str, value: object) -> list[str]:
    """One name of the front door, in as many lines as it has members."""
    if callable(value) and not isinstance(value, type):
        return [f"{name}{signature(value)}"]
    if not isinstance(value, type):
        return [f"{name}: {type(value).__name__}"]
    inner = inner_bases(value)
    outer = [base for part in (value, *inner) for base in part.__bases__ if base not in inner]
    names = dict.fromkeys(base.__name__ for base in outer)
    bases = ", ".join(name for name in names if name != "object" or len(names) == 1)
    plain: list[str] = []
    if issubclass(value, enum.Enum):
        plain = [f"    {member.name} = {member.value!r}" for member in value]
    elif "__init__" in vars(value) or "__new__" in vars(value):
        plain = [f"    {name}{signature(value)}"]
    return [f"class {name}({bases})", *plain, *(f"    .{line}" for _, line in members(value))]


def snapshot() -> str:
    """Every public name with its signature."""
    lines = [line for name in rml.__all__ for line in describe(name, getattr(rml, name))]
    return "\n".join(lines) + "\n"


def prose(docstring: str) -> str:
    """A docstring as Markdown: sections become bold, doctests become code."""
    lines: list[str] = []
    in_code = False
    for line in inspect.cleandoc(docstring).splitlines():
        code = line.lstrip().startswith((">>>", "...")) or (in_code and line.strip() != "")
        if code != in_code:
            lines.append("```pycon" if code else "```")
            in_code = code
        versioned = re.sub(r"^\.\. versionadded:: (\S+)", r"*New in \1.*", line)
        section = SECTION.match(line)
        item = re.match(r"^    (\*{0,2}\w+)(?: \(.*?\))?: (.*)", line)
        if code:
            lines.append(line)
        elif section:
            lines += [f"**{section[1]}**", ""]
        elif item:
            lines.append(f"- `{item[1]}`: {item[2]}")
        else:
            lines.append(re.sub(r"``(.+?)``", r"`\1`", versioned))
    return "\n".join([*lines, "```"] if in_code else lines)


def page() -> str:
    """The reference page: one section per public name, one paragraph per documented member."""
    parts = [PAGE_HEAD]
    for name in rml.__all__:
        value = getattr(rml, name)
        head, *rest = describe(name, value)
        parts.append(f"## `rml.{name}`\n")
        parts.append("```text\n" + "\n".join([head, *rest]) + "\n```\n")
        parts.append(prose(inspect.getdoc(value) or "") + "\n")
        for member, _ in members(value) if isinstance(value, type) else ():
            method = getattr(value, member, None)
            if inspect.isroutine(method) and (found := inspect.getdoc(method)):
                parts.append(f"### `{name}.{member}`\n\n{prose(found)}\n")
    return "\n".join(parts)


def changes(path: Path, new: str) -> str:
    """What would change in a file, as a diff; empty when it is up to date."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    where = str(path.relative_to(ROOT))
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, where, where))


def main(arguments: list[str]) -> int:
    """Write both files, or say what would change in them."""
    texts = {SNAPSHOT: snapshot(), PAGE: page()}
    if arguments == ["--check"]:
        diff = "".join(changes(path, text) for path, text in texts.items())
        sys.stdout.write(diff)
        return 1 if diff else 0
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
