"""What a user knows of an exception that the library does not: rules of their own."""

from rml.clients import Rule
from rml.error import InvalidInputError
from rml.judgement import add_rule, happened_of

__all__ = ["Rule", "happened_of", "register_verdict"]


def register_verdict(exception: type[BaseException] | str, rule: Rule) -> None:
    """Say what an exception means for an effect.

    Args:
        exception: the class, or its dotted name (`"stripe.RateLimitError"`) if importing it is not
            wanted here. A name under which a package offers the class will do. Subclasses follow,
            unless they have a rule of their own.
        rule: False if the effect certainly did not happen, True if it did, None if unknown, or a
            function that is given the exception and returns one of these. A function that raises
            leaves it unknown.

    Raises:
        InvalidInputError: `exception` is neither, or `rule` is none of these.
    """
    given: object = exception
    if isinstance(given, str):
        names = given.split(".")
        if len(names) < 2 or not all(name.isidentifier() for name in names):  # noqa: PLR2004
            raise InvalidInputError.about(
                "exception", given, "write its module too, as in 'stripe.CardError'"
            )
        key = given
    elif isinstance(given, type) and issubclass(given, BaseException):
        key = f"{given.__module__}.{given.__qualname__}"
    else:
        raise InvalidInputError.about("exception", given, "pass a class or 'module.Class'")
    if not (rule is None or isinstance(rule, bool) or callable(rule)):
        raise InvalidInputError.about("rule", rule, "pass True, False, None or a function")
    add_rule(key, rule)
