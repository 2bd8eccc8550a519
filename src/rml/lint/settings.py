"""What `[tool.rml.lint]` in a pyproject.toml may say."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import attrs

from rml.error import ConfigurationError
from rml.lint.catalog import CODES
from rml.lint.vocabulary import EFFECTFUL
from rml.tag import shown

_FILE: Final = "pyproject.toml"
_TABLE: Final = "[tool.rml.lint]"
_NAMES: Final = ("effectful", "extend-effectful", "exclude", "select", "ignore")


@attrs.frozen(kw_only=True)
class Settings:
    """Which calls have an effect, which files are left out, which rules are asked."""

    folder: Path = attrs.field(factory=Path.cwd)
    effectful: tuple[str, ...] = EFFECTFUL
    exclude: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @classmethod
    def beside(cls, place: Path) -> Self:
        """Read the settings of the nearest pyproject.toml, in this folder or above it.

        Raises:
            ConfigurationError: it cannot be read, or says what is no setting.
        """
        for folder in (place, *place.parents):
            if (file := folder / _FILE).is_file():
                return cls.read(file)
        return cls(folder=place)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the settings in a file; without a table of ours they are the defaults.

        Raises:
            ConfigurationError: it cannot be read, or says what is no setting.
        """
        try:
            with file.open("rb") as opened:
                document: Any = tomllib.load(opened)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot read {file}: {error}") from None
        for key in ("tool", "rml", "lint"):
            document = document.get(key, {}) if isinstance(document, Mapping) else None
        if not isinstance(document, Mapping):
            raise ConfigurationError(f"{file}: {_TABLE} must be a table")
        stated = {name: _texts(file, name, value) for name, value in document.items()}
        _check_codes(file, stated)
        effectful = stated.get("effectful", EFFECTFUL) + stated.get("extend-effectful", ())
        rest = {name: stated.get(name, ()) for name in ("exclude", "select", "ignore")}
        return cls(folder=file.parent, effectful=effectful, **rest)

    def has_code(self, code: str) -> bool:
        """Say whether violations of this code are wanted."""
        selected = not self.select or code.startswith(self.select)
        return selected and not (self.ignore and code.startswith(self.ignore))

    def leaves_out(self, path: Path) -> bool:
        """Say whether a file or folder is excluded, or lies in a folder that is.

        A pattern with a slash is about the path from the settings' folder, one without about any
        name on it.
        """
        absolute = path.absolute()
        inside = absolute.is_relative_to(self.folder)
        names = (absolute.relative_to(self.folder) if inside else absolute).parts
        starts = ["/".join(names[:end]) for end in range(1, len(names) + 1)]
        return any(
            fnmatch.fnmatchcase(place, pattern.rstrip("/"))
            for pattern in self.exclude
            for place in (starts if "/" in pattern.rstrip("/") else names)
        )


def _texts(file: Path, name: str, value: object) -> tuple[str, ...]:
    if name not in _NAMES:
        known = ", ".join(_NAMES)
        raise ConfigurationError(f"{file}: {_TABLE} has no setting {name!r}; it has {known}")
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ConfigurationError(
            f"{file}: {name} in {_TABLE} must be a list of texts, not {shown(value)}"
        )
    return tuple(value)


def _check_codes(file: Path, stated: Mapping[str, tuple[str, ...]]) -> None:
    for name in ("select", "ignore"):
        for text in stated.get(name, ()):
            if not any(code.startswith(text) for code in CODES):
                raise ConfigurationError(
                    f"{file}: {name} in {_TABLE} names {text!r}, which begins no code; "
                    f"the codes are {', '.join(CODES)}"
                )
