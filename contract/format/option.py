"""How an option of a job is declared: a field of a dataclass, `Annotated` with a sentence of help and its bounds.

`top_k: Annotated[int, Help("answers a row, best first"), AtLeast(1)] = 1`. Every surface is made of these declarations
(`producer.request`). A field without `Help` is no option. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from contract.errors import UsageError


@dataclass(frozen=True, slots=True)
class Help:
    """One sentence for people, without a full stop."""

    text: str


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The smallest value."""

    value: int


@dataclass(frozen=True, slots=True)
class OneOf:
    """All values that there are, beside None."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """How a value is written by people, where that is not how it is kept: as text, which `read` reads and `write`
    writes."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Local:
    """Bounds what the machine that reads the file spends, so that no client of a server sets it."""


@dataclass(frozen=True, slots=True)
class Option:
    """A declared option."""

    name: str
    type: Any  #: of what people give: int, bool, str | None, dict[str, str], ...
    default: Any
    help: str
    minimum: int | None = None
    choices: tuple[str, ...] = ()
    given: Given | None = None
    local: bool = False

    @property
    def type_name(self) -> str:
        """The type in words: `int`, `float or None`, `a dict of text`."""
        if self.type == dict[str, str]:
            return "a dict of text"
        kinds = get_args(self.type) or (self.type,)
        return " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)


def options_of(kind: Any) -> tuple[Option, ...]:
    """The options that a dataclass declares, in order."""
    return _declared(kind)


@cache
def _declared(kind: Any) -> tuple[Option, ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        _option(each, hints[each.name])
        for each in fields(kind)
        if get_origin(hints[each.name]) is Annotated and _of(hints[each.name], Help)
    )


def _option(declared: Any, hint: Any) -> Option:
    given, least, choices = (_of(hint, kind) for kind in (Given, AtLeast, OneOf))
    default = declared.default if declared.default_factory is MISSING else declared.default_factory()
    return Option(
        name=declared.name,
        type=str | None if given else get_args(hint)[0],
        default=default,
        help=_of(hint, Help).text,
        minimum=least.value if least else None,
        choices=choices.values if choices else (),
        given=given,
        local=_of(hint, Local) is not None,
    )


def _of(hint: Any, kind: type) -> Any:
    return next((extra for extra in hint.__metadata__ if isinstance(extra, kind)), None)


def check_bounds(record: Any) -> None:
    """Raise UsageError for an option of a record that is smaller than it may be."""
    for option in options_of(type(record)):
        value = getattr(record, option.name)
        if option.minimum is not None and value is not None and value < option.minimum:
            raise UsageError(f"{option.name} must be at least {option.minimum}, not {value}")
