"""The request for a job, besides its file: every option, declared once.

An option is a field with `Help` in `ReadOptions` (how the file is read), `Options` (how answers are found) or `Request`
(the job itself). Flags, keywords of the Python API, the HTTP form with its schema and the page's form are made from
`OPTIONS`: a field added to one of the three classes appears on all of them.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from contract.errors import UsageError, printable
from contract.format.job import ErrorLimit, Options
from contract.format.option import AsText, AtLeast, Help, Option, Several, options_of
from contract.remedy import Remedy, Set
from producer.input.options import ReadOptions
from producer.times import span

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from producer.shuffle import Sampling


def error_limit(text: str) -> ErrorLimit:
    """The limit in `1000` or `5%`. Raises UsageError."""
    number, percent, rest = text.strip().partition("%")
    try:
        limit = ErrorLimit(percent=float(number)) if percent else ErrorLimit(rows=int(number))
    except ValueError:
        limit = ErrorLimit()
    most = limit.percent if percent else limit.rows
    if rest or most is None or not 0 <= most <= (100 if percent else math.inf):
        raise UsageError(
            f"{text!r} is neither a number of rows nor a share of them", Remedy("For example: ", Set(max_errors="5%"))
        )
    return limit


#: The most rows of a sample: they are in memory. And the number by which it is drawn, unless another is given.
_SAMPLE, _SEED = 10_000, 1
#: The share of trusted answers that must be right, by default.
_PRECISION = 0.9


def _names_in(text: str) -> tuple[str, ...]:
    """Names of jobs, separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, slots=True)
class Request:
    """What is requested besides the file. Raises UsageError for an invalid value."""

    read: ReadOptions = field(default_factory=ReadOptions)
    options: Options = field(default_factory=Options)
    model: Annotated[str, Help("name of the model that answers [default: BULKQA_MODEL]")] = ""
    key: Annotated[str | None, Help("a second submission with the same key returns the first job")] = None
    metadata: Annotated[dict[str, str], Help("labels of the job; lists can be filtered by them")] = field(
        default_factory=dict
    )
    notify: Annotated[str, Help("URL of a webhook to call when the job has ended")] = ""
    expire: Annotated[
        float | None,
        Help("delete the job this long after its end: 30d, 12h [default: never]"),
        AsText(parse=span, format=lambda seconds: f"{seconds:.0f}s"),
    ] = None  #: seconds; a job found by its key keeps its own `expire` and `notify`
    max_errors: Annotated[
        ErrorLimit | None,
        Help("end the job once more rows than this have failed: 1000, or 5%; not before 200 rows are done"),
        AsText(parse=error_limit, format=str),
    ] = None
    trust: Annotated[str, Help("split the answers by the promise of this earlier job: see `producer trust`")] = ""
    precision: Annotated[float, Help("share of trusted answers that must be right")] = _PRECISION
    reuse: Annotated[
        tuple[str, ...],
        Help("take the outcomes of equal rows from these earlier jobs: ids, latest, or latest:team=search by label"),
        AsText(parse=_names_in, format=",".join),
        Several(),
    ] = ()
    reuse_any: Annotated[
        bool, Help("also reuse answers computed by another version of the runtime or kind of processor")
    ] = False
    sample: Annotated[
        int | None,
        Help("score only this many rows, drawn from the whole file; always the same for the same file"),
        AtLeast(1),
    ] = None
    sample_seed: Annotated[int, Help("another seed draws other rows"), AtLeast(0)] = _SEED
    columns: Any = None  #: `producer.results.columns.InputColumns` of a DataFrame; None: those of the file

    def __post_init__(self) -> None:
        texts = self.model, self.key or "", self.notify, self.trust, *self.metadata, *self.metadata.values()
        for text in (*texts, *self.reuse):
            _check_unicode(text)
        for job in self.reuse:
            _check_named(job)
        if self.reuse_any and not self.reuse:
            raise UsageError(
                "reuse_any needs a job to reuse, and none is named",
                Remedy("Name one: ", Set(reuse="latest")),
            )
        if self.key is not None and not self.key.strip():
            raise UsageError("the key is empty", "Give a key, or leave it out.")
        if self.sample is not None and not 1 <= self.sample <= _SAMPLE:
            raise UsageError(f"a sample has 1 to {_SAMPLE:,} rows, not {self.sample:,}")
        if self.sample_seed != _SEED and self.sample is None:
            remedy = Remedy("Say how many rows it has: ", Set(sample=200))
            raise UsageError("sample_seed is that of a sample, and none is drawn", remedy)
        if self.notify:
            from contract.notifications.address import check_url

            check_url(self.notify)
        if self.expire is not None and not 60 <= self.expire < 1e11:
            raise UsageError(
                f"a job cannot be kept for {self.expire:g} s",
                Remedy("Keep it for at least a minute: ", Set(expire="30d")),
            )

        if not 0 < self.precision < 1:
            raise UsageError(
                f"precision is a share between 0 and 1, not {self.precision:g}",
                Remedy("For nine of ten: ", Set(precision=_PRECISION)),
            )
        if self.precision != _PRECISION and not self.trust:
            raise UsageError(
                "precision belongs to the promise of an earlier job, and none is named",
                Remedy("Name it: ", Set(trust="JOB")),
            )

    @property
    def sampling(self) -> Sampling | None:
        """How the sample is drawn; None: all rows are taken."""
        from producer.shuffle import Sampling  # numpy: not for the help of a command

        return Sampling(self.sample, self.sample_seed) if self.sample else None

    def with_row_limit(self, max_row_bytes: int) -> Request:
        """The same request with the limit of the machine that reads the file."""
        return replace(self, read=replace(self.read, max_row_bytes=max_row_bytes))

    def changed(self) -> Iterator[tuple[Option, Any]]:
        """The options that differ from their defaults, each with its value as people write it."""
        records: tuple[Any, ...] = (self.read, self.options, self)
        for record in records:
            for option in options_of(type(record)):
                value = getattr(record, option.name)
                if value != option.default:
                    yield option, option.as_text.format(value) if option.as_text else value


def _check_named(job: str) -> None:
    """Raise UsageError unless a name of a job to reuse is an id, `latest`, or that with a label."""
    latest, colon, label = job.partition(":")
    if colon and (latest != "latest" or not label.partition("=")[2] or label.startswith("=")):
        raise UsageError(
            f"{job!r} does not name a job to reuse",
            Remedy("Give its id, or the newest with a label: ", Set(reuse="latest:team=search")),
        )


def _check_unicode(text: str) -> None:
    """Raise UsageError for bytes that are not UTF-8, or a NUL: neither files nor services take them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"'{printable(text)}' is not text in UTF-8", "Write it in UTF-8, or leave it out.") from None
    if "\0" in text:
        raise UsageError(f"{text!r} has a NUL character", "Leave that out.")


#: The options of a question that is answered at once, by name: answering, and the job that it may become.
ANSWER_OPTIONS: Mapping[str, Option] = {
    option.name: option for kind in (Options, Request) for option in options_of(kind)
}
#: All options by name: these, and those of reading.
OPTIONS: Mapping[str, Option] = {**{option.name: option for option in options_of(ReadOptions)}, **ANSWER_OPTIONS}


def request_of(
    values: Mapping[str, Any],
    *,
    read: ReadOptions | None = None,
    options: Options | None = None,
    columns: Any = None,
) -> Request:
    """The request with options by name, on top of `read` and `options`.

    Values are as people write them (`expire` is text) and have the option's own type: text is not taken for a number.
    None means the default for an option of the job itself. Raises UsageError for an unknown name, a wrong type or a
    value out of bounds.
    """
    _check_names("submit", values, OPTIONS)
    stored = {
        name: _parsed(OPTIONS[name], value)
        for name, value in values.items()
        if value is not None or name not in _names(Request)
    }

    def fields_of(kind: Any) -> dict[str, Any]:
        return {name: value for name, value in stored.items() if name in _names(kind)}

    return Request(
        read=replace(read or ReadOptions(), **fields_of(ReadOptions)),
        options=replace(options or Options(), **fields_of(Options)),
        columns=columns,
        **fields_of(Request),
    )


def answer_request_of(values: Mapping[str, Any], options: Options | None = None) -> Request:
    """The same for a question that is answered at once: no file is read."""
    _check_names("answer", values, ANSWER_OPTIONS)
    return request_of(values, options=options)


def _check_names(call: str, names: Iterable[str], known: Mapping[str, Option]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"{call} has no option {name}", suggest(name, known))


@cache
def _names(kind: Any) -> frozenset[str]:
    return frozenset(option.name for option in options_of(kind))


def _parsed(option: Option, value: Any) -> Any:
    """The value as a request stores it."""
    if option.several and isinstance(value, list | tuple):
        value = ",".join(value) if all(isinstance(each, str) for each in value) else value
    check_type(option, value)
    if option.as_text:
        return option.as_text.parse(value) if value else option.default
    return value


def check_type(option: Option, value: Any) -> None:
    """Raise UsageError unless a value has the option's type."""
    from pydantic import ValidationError

    try:
        _adapter(option.type).validate_python(value, strict=True)
    except ValidationError as error:
        if location := error.errors()[0]["loc"]:
            key = location[0]
            raise UsageError(
                f"{option.name} must be text: {key!r} is {value.get(key)!r}", "Write it as text: str(value)."
            ) from None
        raise UsageError(f"{option.name} must be {option.type_name}, not {value!r}") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def suggest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the known name that is closest, else all of them."""
    closest = difflib.get_close_matches(str(name), list(known), n=1)
    return f"Did you mean {closest[0]}?" if closest else f"There are: {', '.join(sorted(known))}."
