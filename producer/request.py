"""What can be asked of a job beside its file: every option, declared once.

An option is a field with a sentence of `Help`: of `ReadOptions` (how the file is read), `Options` (how answers are
found) or `Request` (the job itself). The command's flags, the keywords of the Python API, the form of HTTP with its
schema and the page's form are made of `OPTIONS`: a field that is added to one of the three appears on all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from contract.errors import UsageError
from contract.format.job import Options
from contract.format.option import Given, Help, Option, options_of
from contract.remedy import Remedy, Set
from producer.input.options import ReadOptions
from producer.times import span

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for beside the file. Raises UsageError for what cannot be."""

    read: ReadOptions = field(default_factory=ReadOptions)
    options: Options = field(default_factory=Options)
    model: Annotated[str, Help("name of the model that answers [default: BULKQA_MODEL]")] = ""
    key: Annotated[str | None, Help("submitting twice with one key finds the first job")] = None
    metadata: Annotated[dict[str, str], Help("kept with the job; lists can be filtered by it")] = field(
        default_factory=dict
    )
    notify: Annotated[str, Help("URL of a webhook to call when the job has ended")] = ""
    expire: Annotated[
        float | None,
        Help("delete the job this long after its end: 30d, 12h [default: never]"),
        Given(read=span, write=lambda seconds: f"{seconds:.0f}s"),
    ] = None  #: in seconds; of a key found again, this and `notify` are those of the first job
    columns: Any = None  #: `InputColumns` of `producer.results.columns`, kept of a DataFrame; None: those of the file

    def __post_init__(self) -> None:
        for text in (self.model, self.key or "", self.notify, *self.metadata, *self.metadata.values()):
            _check_unicode(text)
        if self.key is not None and not self.key.strip():
            raise UsageError("an empty key stands for no job", "Give a key of your own, or none.")
        if self.notify:
            from contract.notifications.address import check_url

            check_url(self.notify)
        if self.expire is not None and not 60 <= self.expire < 1e11:
            raise UsageError(
                f"a job cannot be kept for {self.expire:g} s",
                Remedy("Keep it for a minute at least: ", Set(expire="30d")),
            )

    def with_row_limit(self, max_row_bytes: int) -> Request:
        """The same where the machine that reads the file bounds its rows."""
        return replace(self, read=replace(self.read, max_row_bytes=max_row_bytes))

    def given(self) -> Iterator[tuple[Option, Any]]:
        """The options that are not the default, each with its value as people write it."""
        parts: tuple[Any, ...] = (self.read, self.options, self)
        for part in parts:
            for option in options_of(type(part)):
                value = getattr(part, option.name)
                if value != option.default:
                    yield option, option.given.write(value) if option.given else value


def _check_unicode(text: str) -> None:
    """Raise UsageError for half a surrogate pair or a NUL, which neither files nor services take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not valid text: it has half a surrogate pair", "Leave that out.") from None
    if "\0" in text:
        raise UsageError(f"{text!r} has a NUL character", "Leave that out.")


#: All options by name: reading, answering, the job.
OPTIONS: Mapping[str, Option] = {
    option.name: option for kind in (ReadOptions, Options, Request) for option in options_of(kind)
}


def request_of(
    values: Mapping[str, Any],
    *,
    read: ReadOptions | None = None,
    options: Options | None = None,
    columns: Any = None,
) -> Request:
    """The request that options of these names and values make, on top of `read` and `options`.

    Values are as people give them (`expire` is text) and of the option's own type: no text stands for a number. For an
    option of the job itself None is the default. Raises UsageError for a name that is no option, a wrong type or a
    value out of bounds.
    """
    for name in values:
        if name not in OPTIONS:
            raise UsageError(f"submit takes no {name}", meant(name, OPTIONS))
    kept = {
        name: _kept(OPTIONS[name], value)
        for name, value in values.items()
        if value is not None or name not in _names(Request)
    }

    def of(kind: Any) -> dict[str, Any]:
        return {name: value for name, value in kept.items() if name in _names(kind)}

    return Request(
        read=replace(read or ReadOptions(), **of(ReadOptions)),
        options=replace(options or Options(), **of(Options)),
        columns=columns,
        **of(Request),
    )


@cache
def _names(kind: Any) -> frozenset[str]:
    return frozenset(option.name for option in options_of(kind))


def _kept(option: Option, value: Any) -> Any:
    """The value as a request keeps it."""
    check_type(option, value)
    if option.given:
        return option.given.read(value) if value else None
    return value


def check_type(option: Option, value: Any) -> None:
    """Raise UsageError unless a value is of the option's type."""
    from pydantic import ValidationError

    try:
        _adapter(option.type).validate_python(value, strict=True)
    except ValidationError as error:
        if place := error.errors()[0]["loc"]:
            key = place[0]
            raise UsageError(
                f"{option.name} must be text: {key!r} is {value.get(key)!r}", "Write it as text: str(value)."
            ) from None
        raise UsageError(f"{option.name} must be {option.type_name}, not {value!r}") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def meant(name: str, known: Iterable[str]) -> str:
    """What to say to somebody who wrote a name that there is none of."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(known))}."
