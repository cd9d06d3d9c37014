"""Write the files that are made from the code, or check that they are current.

python scripts/generate.py            write them (`make generate`)
python scripts/generate.py --check    exit 1, with a diff, if one is not current

A file more is a function that returns its text and a line in `FILES`.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo, ParameterInfo

from contract.format.option import Option, options_of
from contract.settings import Settings
from producer.cli import app as producer_app
from producer.cli.flags import Section, sections
from producer.input.options import ReadOptions
from producer.request import ANSWER_OPTIONS, Request
from worker.cli import app as worker_app

REPO = Path(__file__).resolve().parents[1]
PROGRAMS = {"producer": producer_app, "worker": worker_app}
MADE = "<!-- Made from the code by `make generate`: change it there. -->"


# docs/commands.md


@dataclass(frozen=True)
class Parameter:
    """An argument or a flag."""

    name: str
    type: Any
    default: Any
    info: ParameterInfo = field(compare=False)  # made anew at each look

    @property
    def is_argument(self) -> bool:
        """Whether its place names it, not a flag."""
        return isinstance(self.info, ArgumentInfo)

    @property
    def flags(self) -> list[str]:
        """`["-o", "--output"]`, or what typer makes of its name. In `Annotated` the first one is the info's default."""
        declared = [part for part in (self.info.default, *(self.info.param_decls or ())) if isinstance(part, str)]
        made = f"--{self.name.replace('_', '-')}"
        return declared or ([made, f"--no-{made[2:]}"] if self.type is bool else [made])

    @property
    def spelled(self) -> str:
        """As it is typed: `FILE`, `-o, --output PATH`."""
        if self.is_argument:
            return self.name.upper()
        value = "" if self.type is bool else f" {self.info.metavar or _metavar(self.type)}"
        return ", ".join(self.flags) + value

    @property
    def settings(self) -> list[str]:
        """The variables that give its default; the help has them in brackets."""
        return re.findall(r"\[(?:default: )?(BULKQA_\w+)\]", self.info.help or "")

    def cells(self) -> tuple[str, ...]:
        """Its row in a table: how it is typed, its default, what it means."""
        text = self.info.help or ""
        if self.settings:
            default = f"[`{self.settings[0]}`](settings.md)"
        elif named := re.search(r"\[default: (.*?)\]", text):
            default = named[1]
        else:
            default = "" if self.default in (None, False, ..., inspect.Parameter.empty) else f"`{self.default}`"
        return f"`{self.spelled}`", default, re.sub(r" ?\[(default: .*?|BULKQA_\w+)\]", "", text).strip()


@dataclass(frozen=True)
class Group:
    """Flags that go together, and what they are for."""

    title: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Command:
    """A command as its function declares it: parameters of its own, and groups."""

    name: str
    summary: str
    own: tuple[Parameter, ...]
    groups: tuple[Group, ...]

    @property
    def usage(self) -> str:
        """How it is called."""
        arguments = [parameter for parameter in self.own if parameter.is_argument]
        required = (..., inspect.Parameter.empty)
        words = [part.spelled if part.default in required else f"[{part.spelled}]" for part in arguments]
        return " ".join([self.name, *words, "[FLAGS]"])


def commands() -> str:
    """Every command with its arguments and flags; flags that several share are there once."""
    counts = Counter(group for command in all_commands() for group in command.groups)
    shared = [group for group, count in counts.items() if count > 1]
    index = ((f"[`{command.name}`](#{_anchor(command.name)})", command.summary) for command in all_commands())
    lines = [
        "# Commands\n",
        f"{MADE}\n",
        "`producer COMMAND --help` and `worker COMMAND --help` print the same. Environment variables are in",
        "[settings](settings.md); exit statuses and [what commands print](reference.md#what-commands-print) are in the",
        "[reference](reference.md).\n",
        *table(("command", "what it does"), index),
    ]
    for command in all_commands():
        lines += _command_section(command, shared)
    lines.append("\n## Flags that several commands share")
    for group in shared:
        users = ", ".join(f"`{command.name}`" for command in all_commands() if group in command.groups)
        lines += [f"\n### {group.title}\n", f"{users}\n"]
        lines += table(("flag", "default", ""), (parameter.cells() for parameter in group.parameters))
    return "\n".join(lines)


def _command_section(command: Command, shared: list[Group]) -> Iterator[str]:
    yield f"\n## {command.name}\n\n{command.summary}\n\n`{command.usage}`\n"
    unshared = (parameter for group in command.groups if group not in shared for parameter in group.parameters)
    yield from table(("argument or flag", "default", ""), (part.cells() for part in (*command.own, *unshared)))
    links = [f"[{group.title}](#{_anchor(group.title)})" for group in command.groups if group in shared]
    if links:
        yield f"\nShared flags: {' · '.join(links)}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")


@cache
def all_commands() -> list[Command]:
    """Those that `--help` lists, in its order."""
    return [
        _command(f"{program} {info.name or info.callback.__name__}", info.callback)
        for program, app in PROGRAMS.items()
        for info in app.registered_commands
        if info.callback and not info.hidden
    ]


def _command(name: str, callback: Callable[..., Any]) -> Command:
    function = inspect.unwrap(callback)  # as it is written, with its groups
    hints = get_type_hints(function, include_extras=True)
    own, groups = [], []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if found := sections(hint):
            groups += [_group(section) for section in found]
        else:
            own.append(_parameter(parameter.name, hint, parameter.default))
    own.sort(key=lambda parameter: not parameter.is_argument)
    return Command(name, " ".join((function.__doc__ or "").split()), tuple(own), tuple(groups))


def _group(section: Section) -> Group:
    return Group(section.title, tuple(_parameter(flag.name, flag.annotation, flag.default) for flag in section.flags))


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    type_, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    infos = [extra for extra in extras if isinstance(extra, ParameterInfo)]
    return Parameter(name, _without_none(type_), default, infos[0])


def _metavar(type_: Any) -> str:
    if get_origin(type_) is Literal:
        return "|".join(map(str, get_args(type_)))
    if get_origin(type_) is list:
        return _metavar(get_args(type_)[0])
    return {int: "N", float: "NUMBER", Path: "PATH"}.get(type_, "TEXT")


def _without_none(type_: Any) -> Any:
    if get_origin(type_) not in (UnionType, Union):
        return type_
    types = [part for part in get_args(type_) if part is not NoneType]
    return types[0] if len(types) == 1 else type_


# docs/settings.md


def settings() -> str:
    """All settings, in the order of their class."""
    rows = (_setting_row(name, field) for name, field in Settings.model_fields.items())
    head = (
        "# Settings\n",
        f"{MADE}\n",
        "Every setting is an environment variable; where a [command](commands.md) has a flag for it, the flag wins.",
        f"{' '.join((Settings.__doc__ or '').split())} An empty variable counts as unset.\n",
    )
    return "\n".join([*head, *table(("variable", "default", "type", "flag", "meaning"), rows)])


def _setting_row(name: str, field: FieldInfo) -> tuple[str, ...]:
    variable = f"BULKQA_{name.upper()}"
    flags = sorted({flag for flag, variables in _flags_of_settings() if variable in variables})
    meaning = field.description or ""
    aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
    others = [f"`{alias}`" for alias in aliases if alias not in (variable, name)]
    if others:
        meaning += f" (also read: {', '.join(others)})"
    return f"`{variable}`", _default_of(field), _type_of(field), ", ".join(f"`{flag}`" for flag in flags), meaning


@cache
def _flags_of_settings() -> list[tuple[str, list[str]]]:
    groups = [
        (*command.own, *(part for group in command.groups for part in group.parameters)) for command in all_commands()
    ]
    return [
        (flag, part.settings) for parameters in groups for part in parameters if part.settings for flag in part.flags
    ]


def _default_of(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, Path):
        value = value.relative_to(REPO)
    text = "" if value is None else str(value)
    return f"`{text}`" if text else ""


def _type_of(field: FieldInfo) -> str:
    type_ = _without_none(field.annotation)
    name = {int: "integer", float: "number", bool: "boolean", Path: "path"}.get(type_, "text")
    bounds = {key: getattr(mark, key) for mark in field.metadata for key in ("ge", "gt", "le") if hasattr(mark, key)}
    patterns = [mark.pattern for mark in field.metadata if getattr(mark, "pattern", None)]
    if patterns:
        choices = re.fullmatch(r"\^\(([\w|]+)\)\$", patterns[0])
        return ", ".join(f"`{choice}`" for choice in choices[1].split("|")) if choices else f"`{patterns[0]}`"
    if {"ge", "le"} <= bounds.keys():
        return f"{name}, {bounds['ge']} to {bounds['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most"}
    return ", ".join([name, *(f"{words[key]} {bound:g}" for key, bound in bounds.items())])


# producer/api/keywords.py


def keywords() -> str:
    """The keywords of `submit` and `answer` as types."""
    lines = [
        '"""The keywords of `submit` and `answer`, for editors. Made of `producer.request` by `make generate`."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping, Sequence",
        "from typing import TypedDict",
        *_typed_dict("AnswerKeywords(TypedDict, total=False)", "Every option of an answer", ANSWER_OPTIONS.values()),
        *_typed_dict("Keywords(AnswerKeywords, total=False)", "Every option of a job", options_of(ReadOptions)),
    ]
    return "\n".join(
        line if len(line) <= 120 else re.sub(r"^(.*?)  #: (.*)$", r"    #: \2\n\1", line) for line in lines
    )


def _typed_dict(name: str, what: str, options: Iterable[Option]) -> Iterator[str]:
    yield from (
        "",
        "",
        f"class {name}:",
        f'    """{what}. One that is left out has its default."""',
        "",
    )
    own = {option.name for option in options_of(Request)}
    for option in options:
        kind = "Mapping[str, str]" if option.type == dict[str, str] else _spelled_type(option.type)
        if option.several:
            kind = "str | Sequence[str] | None"
        if option.name in own and "None" not in kind:
            kind += " | None"  # of the job itself: None is the default
        yield from (f"    #: {option.help}", f"    {option.name}: {kind}")


def _spelled_type(kind: Any) -> str:
    return " | ".join("None" if each is NoneType else each.__name__ for each in get_args(kind) or (kind,))


# All files


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for cells in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


#: What is made, and of which function.
FILES: list[tuple[str, Callable[[], str]]] = [
    ("docs/commands.md", commands),
    ("docs/settings.md", settings),
    ("producer/api/keywords.py", keywords),
]


def main(*, check: bool) -> None:
    """Write all files, or compare them and exit 1 if one differs."""
    stale = False
    for name, make in FILES:
        path, text = REPO / name, make().rstrip("\n") + "\n"
        current = path.read_text() if path.exists() else ""
        if current == text:
            continue
        stale = True
        if check:
            diff = difflib.unified_diff(
                current.splitlines(), text.splitlines(), name, "made from the code", lineterm=""
            )
            print(*diff, sep="\n")
        else:
            path.write_text(text)
            print(f"written: {name}")
    if check and stale:
        sys.exit("a generated file is not current\n  Write it: python scripts/generate.py")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
