"""Makes flags from groups: a command takes a group, a dataclass, as one parameter, and typer sees a flag per field.

A group is a class of `options`, or one whose fields are declared options (`contract.format.option`); a `Request` also
has the options of reading and answering.
"""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from contract.errors import INTERRUPTED
from contract.format.job import Options
from contract.format.option import Option, options_of
from contract.remedy import TERMINAL
from producer.input.options import ReadOptions
from producer.request import OPTIONS, Request, request_of

#: What the flags of declared options are listed under.
_TITLES: dict[Any, str] = {ReadOptions: "Reading the file", Options: "Finding answers", Request: "The job"}
#: Short names, and placeholders for values in the help.
_SHORT = {"delimiter": "-d"}
_METAVARS = {"notify": "URL", "expire": "SPAN", "max_errors": "N", "metadata": "KEY=VALUE", "reuse": "JOB"}


@dataclass(frozen=True)
class Without:
    """Options of a `Request` that a command has no flags for: `Annotated[Request, Without("model")]`."""

    names: frozenset[str]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", frozenset(names))


@dataclass(frozen=True)
class Section:
    """Flags that are listed together in the documentation."""

    title: str
    flags: tuple[inspect.Parameter, ...]


@dataclass(frozen=True)
class _Group:
    """The flags of a group, and how to build the group from their values."""

    flags: list[inspect.Parameter]
    build: Callable[[dict[str, Any]], Any]


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command, its signature having a flag for each field of its groups, for typer to read."""
    signature = inspect.signature(command, eval_str=True)
    groups = {
        name: _group(parameter.annotation)
        for name, parameter in signature.parameters.items()
        if is_dataclass(_split(parameter.annotation)[0])
    }

    @wraps(command)
    def wrapper(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group.build({flag.name: values.pop(flag.name) for flag in group.flags})
        with _interruptible():
            command(**values)

    flags: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        flags += groups[name].flags if name in groups else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    wrapper.__signature__ = signature.replace(parameters=flags)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return wrapper


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn Ctrl-C and a closed stdout into exit statuses."""
    try:
        yield
    except KeyboardInterrupt as interrupt:  # its text, if any, says what happens to the work
        print(f"\ninterrupted{f': {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader of stdout has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        raise typer.Exit from None


def sections(annotation: Any) -> list[Section]:
    """The flags of a parameter that is a group, by title; an empty list for any other parameter."""
    kind, extras = _split(annotation)
    if not is_dataclass(kind):
        return []
    without = {name for extra in extras if isinstance(extra, Without) for name in extra.names}
    declared = (ReadOptions, Options, Request) if kind is Request else (kind,) if options_of(kind) else ()
    if declared:
        return [Section(_TITLES[each], tuple(_flags(each, without))) for each in declared]
    hints = get_type_hints(kind, include_extras=True)
    title = (kind.__doc__ or "").partition(":")[0]
    flags = (_parameter(field.name, hints[field.name], field.default) for field in fields(kind))
    return [Section(title, tuple(flags))]


def as_flags(**values: Any) -> str:
    """The flags that have a value, as typed: for the command that continues the work."""
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in values.items() if value is not None)


def _split(annotation: Any) -> tuple[Any, list[Any]]:
    """The type of a parameter, and what `Annotated` adds to it."""
    kind, *extras = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    return kind, extras


def _group(annotation: Any) -> _Group:
    kind, _ = _split(annotation)
    flags = [flag for section in sections(annotation) for flag in section.flags]
    if kind is Request:
        return _Group(flags, lambda values: request_of(_option_values(values)))
    if options_of(kind):
        return _Group(flags, lambda values: kind(**_option_values(values)))
    return _Group(flags, lambda values: kind(**values))


def _flags(kind: Any, without: set[str]) -> Iterator[inspect.Parameter]:
    for option in options_of(kind):
        if not option.local and option.name not in without:
            yield _flag(option)


def _flag(option: Option) -> inspect.Parameter:
    """A declared option as a flag. An option that is on by default becomes `--no-NAME`."""
    name = TERMINAL.option(option.name, False if option.default is True else None)
    names = [_SHORT[option.name], name] if option.name in _SHORT else [name]
    choices = f": {', '.join(option.choices[:-1])} or {option.choices[-1]}" if option.choices else ""
    default = False if isinstance(option.default, bool) else option.default or None
    kind = list[str] if option.type == dict[str, str] or option.several else option.type
    info = typer.Option(
        *names,
        help=option.help.replace(" [", f"{choices} [", 1) if choices else option.help,
        metavar=_METAVARS.get(option.name),
        show_default=default is not None,
    )
    return _parameter(option.name, Annotated[kind if default is not None else kind | None, info], default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option_values(flag_values: dict[str, Any]) -> dict[str, Any]:
    """The values of options from those of their flags, without flags that were not used. Raises UsageError."""
    from producer.jobs.select import pairs

    values: dict[str, Any] = {}
    for name, value in flag_values.items():
        option = OPTIONS[name]
        if option.type == dict[str, str]:
            values[name] = pairs(value or ())
        elif option.several:
            values[name] = ",".join(value or ())
        elif option.default is True:
            values[name] = not value
        elif value is not None:
            values[name] = value
    return values
