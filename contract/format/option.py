"""How an option of a job is declared: a field of a dataclass, `Annotated` with a sentence of help and its bounds.

`top_k: Annotated[int, Help("answers per row, best first"), AtLeast(1)] = 1`. Every surface is made from these
declarations (`producer.request`). A field without `Help` is not an option. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from contract.errors import UsageError


@dataclass(frozen=True, slots=True)
class Help:
    """What the option means, in one sentence without a full stop."""

    text: str


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The smallest value."""

    value: int


@dataclass(frozen=True, slots=True)
class OneOf:
    """The allowed values, besides None."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AsText:
    """How people write the value, if not as it is stored: as text."""

    parse: Callable[[str], Any]
    format: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Several:
    """Several values may be given: as text they are separated by commas."""


@dataclass(frozen=True, slots=True)
class Local:
    """A limit of the machine that reads the file: clients of a server cannot set it."""


@dataclass(frozen=True, slots=True)
class Shows:
    """Changes what a prediction shows, and no answer."""


@dataclass(frozen=True, slots=True)
class Option:
    """A declared option."""

    name: str
    type: Any  #: of the value as people write it: int, bool, str | None, dict[str, str], ...
    default: Any
    help: str
    minimum: int | None = None
    choices: tuple[str, ...] = ()
    as_text: AsText | None = None
    local: bool = False
    several: bool = False
    decides: bool = True  #: answers; what only shows does not

    @property
    def type_name(self) -> str:
        """The type in words: `int`, `float or None`, `a dict of text`."""
        if self.type == dict[str, str]:
            return "a dict of text"
        kinds = get_args(self.type) or (self.type,)
        return " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)


def options_of(kind: Any) -> tuple[Option, ...]:
    """The options that a dataclass declares, in order."""
    return _declared(kind)  # `cache` has no types


@cache
def _declared(kind: Any) -> tuple[Option, ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        _option(field, hints[field.name])
        for field in fields(kind)
        if get_origin(hints[field.name]) is Annotated and _extra(hints[field.name], Help)
    )


def _option(field: Any, hint: Any) -> Option:
    as_text, at_least, one_of = (_extra(hint, kind) for kind in (AsText, AtLeast, OneOf))
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return Option(
        name=field.name,
        type=str | None if as_text else get_args(hint)[0],
        default=default,
        help=_extra(hint, Help).text,
        minimum=at_least.value if at_least else None,
        choices=one_of.values if one_of else (),
        as_text=as_text,
        local=_extra(hint, Local) is not None,
        several=_extra(hint, Several) is not None,
        decides=_extra(hint, Shows) is None,
    )


def _extra(hint: Any, kind: type) -> Any:
    """What an `Annotated` has of a class, or None."""
    return next((extra for extra in hint.__metadata__ if isinstance(extra, kind)), None)


def check_bounds(record: Any) -> None:
    """Raise UsageError if an option of a record is below its minimum."""
    for option in options_of(type(record)):
        value = getattr(record, option.name)
        if option.minimum is not None and value is not None and value < option.minimum:
            raise UsageError(f"{option.name} must be at least {option.minimum}, not {value}")


def changes(then: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """The options that decide answers and differ between two records of a kind: name, value then, value now."""
    names = [option.name for option in options_of(type(now)) if option.decides]
    pairs = [(name, getattr(then, name), getattr(now, name)) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]
