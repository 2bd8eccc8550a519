"""Errors that say which world they happened in, and survive the journey to whoever must act.

One rule makes them travel: `type(e)(*e.args)` rebuilds every error, and `e.args` is JSON: its
message and its fields. Pickle, copies, process pools and task queues all work that way. So
subclasses declare class attributes and leave `__init__` alone::

    class GatewayTimeout(DialogError):
        "The gateway did not answer in time."  # the default message

        code = "PAYMENT_GATEWAY_TEMPORARY_ERROR"
        action = Action.RETRY_WITH_BACKOFF

The widest world wins: an error that wraps an RML3 error is RML3 and asks to escalate, whatever its
class says. The other error is looked for where this one is built (the exception being handled) and
in its live chain, and `from None` does not hide it.
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from rml.cause import Cause, Tagged, clip, text_of, type_name, walk_causes, widened
from rml.detail import clean_details
from rml.handled import handled_here
from rml.judgement import happened_of
from rml.tag import (
    TAGS,
    UNSET,
    Registry,
    Tag,
    Unset,
    hiding_base,
    members_of,
    read_declaration,
    read_fields,
    read_tag,
    shown,
)
from rml.world import DEFAULT_ACTION, Action, Severity, World, check_pair, widest

__all__ = [
    "MESSAGE_BYTES_MAX",
    "Cause",
    "ClosedError",
    "ConfigurationError",
    "DialogError",
    "HistoryError",
    "IllegalPairError",
    "InvalidInputError",
    "MissingExtraError",
    "RmlError",
    "walk_causes",
]

MESSAGE_BYTES_MAX: Final = 2_048
"""Of an error's message: a sentence or a few. Facts belong in its details."""

_registry: Final[Registry["type[RmlError]"]] = Registry()


class RmlError(Tagged, Exception):
    """The operation failed, and nobody said in which world.

    Everything but the message is optional and keyword-only; a class declares its defaults as
    attributes. An error of no stated world is RML3: gray is treated as history until somebody
    scopes it down.

    Args:
        message: what happened, in one sentence an operator may read, without secrets or personal
            data; shortened to `MESSAGE_BYTES_MAX`. Default: the first paragraph of the class's
            docstring.
        fields: only from `args`, when an error is rebuilt.
        code: the stable name to branch on, `[A-Z][A-Z0-9_]+[A-Z0-9]`, at most 63 characters
            (AIP-193). Default: the class's, or else its name in capitals.
        world: where the effect exists; never narrower than the class declares.
        action: what to do next; legal in the world. Default: the class's, or that of the world.
        severity: how bad; default `Severity.ERROR`.
        details: JSON data for machines; see `rml.detail.clean_details` for what else is kept.
        happened: whether the effect took place, None for unknown. Not given, `rml.judgement` says
            it: by what led here, or False for an RML1 error with nothing doubtful behind it.
        retry_after: seconds or a timedelta; kept if usable, while the action is to retry.

    Attributes:
        public: whether clients may read the message of these errors; otherwise they get the
            default message.
        public_details: names of details that clients may read.
        http_status: the HTTP status for these errors; by default their world and action decide.

    Raises:
        IllegalPairError: the action is illegal in the world, or the world narrower than the class.
        InvalidInputError: a tag cannot be read. Both say RML3 and unknown when they are raised by
            building an error, since an effect may have happened before.
    """

    if TYPE_CHECKING:
        code: ClassVar[str]
        world: ClassVar[World]
        action: ClassVar[Action]
        severity: ClassVar[Severity]
        happened: ClassVar[bool | None]
        retry_after: ClassVar[float | None]
    else:
        code, world, action = Tag(), Tag(), Tag()
        severity, happened, retry_after = Tag(), Tag(), Tag()

    public: ClassVar[bool] = False
    public_details: ClassVar[tuple[str, ...]] = ()
    http_status: ClassVar[int | None] = None

    _stated: ClassVar[Mapping[str, Any]] = MappingProxyType({"code": "RML_ERROR"})

    def __init_subclass__(cls, **options: Any) -> None:
        """Take the declared tags, refuse what contradicts itself, and register the code.

        Raises:
            IllegalPairError: the action is illegal in the world, or the world narrower than a
                parent's.
            InvalidInputError: a tag cannot be read, or another exception stands before the family.
        """
        super().__init_subclass__(**options)
        if hiding := hiding_base(cls, RmlError):
            raise InvalidInputError(
                f"{cls.__qualname__} lists {hiding.__qualname__} before its family; list it after"
            )
        declared = {name: vars(cls)[name] for name in TAGS if name in vars(cls)}
        for name in declared:
            delattr(cls, name)  # so that reading it goes through Tag, on every error
        cls._stated = MappingProxyType(_declaration(cls, declared))
        _registry.add(cls.code, type_name(cls), cls)

    def __init__(
        self,
        message: object = None,
        fields: Mapping[str, Any] | None = None,
        /,
        *,
        code: str | None = None,
        world: World | str | None = None,
        action: Action | str | None = None,
        severity: Severity | str | None = None,
        details: Mapping[str, Any] | None = None,
        happened: bool | Literal[Unset.UNSET] | None = UNSET,
        retry_after: float | timedelta | None = None,
    ) -> None:
        text = "" if message is None else text_of(message)
        self.message: str = clip(text or type(self).default_message(), MESSAGE_BYTES_MAX)
        BaseException.__init__(self, self.message)
        keywords = {"code": code, "world": world, "action": action, "severity": severity}
        given: dict[str, object] = {k: v for k, v in keywords.items() if v is not None}
        if happened is not UNSET:
            given["happened"] = happened
        kept = _read_kept(self, fields)
        kept |= read_fields({"retry_after": retry_after} if retry_after is not None else {})
        self._details = clean_details(kept.pop("details", None) if details is None else details)
        self._type: str = kept.pop("type", type_name(type(self)))
        self.kept_causes: tuple[Cause, ...] = kept.pop("causes", ())
        self._settle(kept, _read_given(self, given), handled_here() if fields is None else None)

    def _settle(
        self, kept: dict[str, Any], given: dict[str, Any], handled: BaseException | None
    ) -> None:
        """Decide world and action from the class, the fields, the arguments and what is handled."""
        floor: World | None = self._stated.get("world")
        tags = {"severity": Severity.ERROR, "retry_after": None, **self._stated, **kept, **given}
        world = tags.pop("world", World.RML3)
        if floor is not None and world < floor:
            if "world" in given:
                raise _refusal(self, IllegalPairError, _narrower(floor, world))
            world = floor
        action = tags.pop("action", DEFAULT_ACTION[world])
        try:
            check_pair(world, action)
        except ValueError as error:
            if "action" in given:
                raise _refusal(self, IllegalPairError, str(error)) from None
            action = DEFAULT_ACTION[world]
        own = widened(world, action, handled)
        self.own_world: World = own[0]
        self.own_action: Action = own[1]
        self.tags: Mapping[str, Any] = MappingProxyType(tags)

    def live_tag(self, name: str) -> Any:
        """Return a tag as it holds now, with all that is behind the error."""
        if name in {"world", "action"}:
            live = widened(self.own_world, self.own_action, self.__cause__, self.__context__)
            return live[name == "action"]
        if name == "happened":
            return happened_of(self)
        if name == "retry_after" and self.action is not Action.RETRY_WITH_BACKOFF:
            return None
        return self.tags[name]

    @property
    def details(self) -> Mapping[str, Any]:
        """JSON data for machines; read-only, because it was made fit for JSON on the way in."""
        return MappingProxyType(self._details)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What led here, nearest first, by value; see `walk_causes`."""
        return tuple(walk_causes(self))

    @property
    def has_verdict(self) -> bool:
        """Whether class or constructor said what happened, be it that nobody knows."""
        return "happened" in self.tags

    @property
    def args(self) -> tuple[str, dict[str, Any]]:  # type: ignore[override]
        """Message and fields: JSON data from which the class rebuilds the error."""
        fields = self.to_dict()
        message: str = fields.pop("message")
        # Left out where the rebuilt error will find the same by itself, so that it goes on looking.
        if not self.has_verdict and self.happened is (False if self.world is World.RML1 else None):
            del fields["happened"]
        if self._type == type_name(type(self)):
            del fields["type"]
        return message, fields

    def to_dict(self) -> dict[str, Any]:
        """Return all of the error as JSON data, for ledger and operators, not for clients."""
        return {
            "type": self._type,
            "code": self.code,
            "world": self.world.value,
            "action": self.action.value,
            "severity": self.severity.value,
            "message": self.message,
            "details": clean_details(self._details),
            "happened": self.happened,
            "retry_after": self.retry_after,
            "causes": [cause.to_dict() for cause in self.causes],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RmlError":
        """Rebuild the error that `to_dict` wrote, also if its class is not known here.

        The class is the one registered for the code, and for the type if several share the code;
        otherwise the family of the world. Nothing is imported. Members that cannot be read are left
        out, and a world that cannot be read is RML3, because history must always decode.

        Raises:
            InvalidInputError: `values` is not a mapping.
        """
        if (members := members_of(values)) is None:
            raise InvalidInputError.about("values", values, "pass what to_dict() returned")
        fields = {"happened": None, **members}
        message = fields.get("message")
        klass = class_for(fields.get("code"), fields.get("type"), read_fields(fields).get("world"))
        return klass(message if isinstance(message, str) else None, fields)

    def to_log_fields(self) -> dict[str, dict[str, Any]]:
        """Return the error for a structured log, under one key that no log record has: `rml`."""
        fields = {k: v for k, v in self.to_dict().items() if v not in (None, {}, [])}
        if "causes" in fields:
            fields["causes"] = [cause.type for cause in self.causes]
        return {"rml": fields}

    @classmethod
    def default_message(cls) -> str:
        """Return the first paragraph of the nearest docstring, which clients may read too."""
        kinds = (kind for kind in cls.__mro__ if issubclass(kind, RmlError))
        text = next((kind.__doc__ for kind in kinds if (kind.__doc__ or "").strip()), None)
        return " ".join(text.strip().split("\n\n")[0].split()) if text else cls.code

    @classmethod
    def declared_tags(cls) -> dict[str, Any]:
        """Return the tags an error of this class carries when nothing else is said."""
        world = cls._stated.get("world", World.RML3)
        rest = {"severity": Severity.ERROR, "happened": None, "retry_after": None}
        return {"world": world, "action": DEFAULT_ACTION[world], **rest, **cls._stated}

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"<{self._type.rpartition('.')[2]} {self.code} {self.world.value}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Not the live __dict__, which may hold what no pickle carries; notes are text and travel.
        notes = getattr(self, "__notes__", None)
        if not isinstance(notes, list):
            return type(self), self.args
        return type(self), self.args, {"__notes__": [str(note) for note in notes]}


_registry.add(RmlError.code, type_name(RmlError), RmlError)


def _declaration(cls: type[RmlError], declared: Mapping[str, object]) -> dict[str, Any]:
    parents = [base._stated for base in cls.__bases__ if issubclass(base, RmlError)]  # noqa: SLF001
    try:
        stated = read_declaration(cls.__name__, declared, parents)
    except ValueError as error:
        raise InvalidInputError(f"{cls.__qualname__}: {error}") from None
    floor = widest(*(parent["world"] for parent in parents if "world" in parent))
    world = stated.get("world", World.RML3)
    if world < floor:
        raise IllegalPairError(f"{cls.__qualname__} {_narrower(floor, world)}")
    try:
        check_pair(world, stated.get("action", DEFAULT_ACTION[world]))
    except ValueError as error:
        if "action" in declared:
            raise IllegalPairError(f"{cls.__qualname__}: {error}") from None
        del stated["action"]
    return stated


def _narrower(floor: World, world: World) -> str:
    return f"is {floor.value} by its family, not {world.value}; choose the family of that world"


def _read_given(error: RmlError, given: Mapping[str, object]) -> dict[str, Any]:
    try:
        return {name: read_tag(name, value) for name, value in given.items()}
    except ValueError as problem:
        raise _refusal(error, InvalidInputError, str(problem)) from None


def _read_kept(error: RmlError, fields: object) -> dict[str, Any]:
    if fields is None:
        return {}
    if isinstance(fields, Mapping):
        return read_fields(fields)
    raise _refusal(error, InvalidInputError, f"details go in details=, not {shown(fields)}")


def _refusal(error: RmlError, kind: type[RmlError], text: str) -> RmlError:
    # Raised in place of an error that was to report something: what that was is unknown now, and
    # saying RML1 would let an effect run twice.
    text = f"{type(error).__qualname__}({error.message!r}): {text}"
    return kind(text, world=World.RML3, happened=None)


class ClosedError(RmlError):
    """The operation failed before anybody outside could notice."""

    code = "CLOSED_ERROR"
    world = World.RML1


class DialogError(RmlError):
    """The operation failed in a conversation with another service."""

    code = "DIALOG_ERROR"
    world = World.RML2


class HistoryError(RmlError):
    """The operation failed where others already rely on the outcome."""

    code = "HISTORY_ERROR"
    world = World.RML3


class ConfigurationError(ClosedError):
    """The library is set up or used in a way that cannot work.

    It may be raised inside a handler, after its effect, so what happened is unknown.
    """

    happened: ClassVar[bool | None] = None


class IllegalPairError(ConfigurationError, ValueError):
    """The world and the action of an error contradict each other."""

    code = "ILLEGAL_PAIR"


class InvalidInputError(ClosedError, ValueError):
    """A value given to the library cannot be used."""

    code = "INVALID_INPUT"
    happened: ClassVar[bool | None] = None  # as in ConfigurationError

    @classmethod
    def about(cls, parameter: str, value: object, way_out: str) -> Self:
        """Return the error for one parameter: its name, its value if plain, and the way out."""
        return cls(f"{parameter} is {shown(value)}; {way_out}", details={"parameter": parameter})


class MissingExtraError(ConfigurationError, ImportError):
    """An optional package is not installed."""

    code = "MISSING_EXTRA"

    @classmethod
    def about(cls, extra: str) -> Self:
        """Return the error for one extra, with the command that installs it."""
        command = f"pip install 'rml[{extra}]'"
        return cls(f"This needs the extra {extra!r}: {command}", details={"extra": extra})


def class_for(code: object, name: object, world: World | None) -> type[RmlError]:
    """Return the class to decode an error as; the family of its world if none is known."""
    families = {World.RML1: ClosedError, World.RML2: DialogError}
    return _registry.find(code, name) or families.get(world or World.RML3, HistoryError)
