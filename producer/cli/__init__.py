"""The `producer` command: parses, calls, prints. Data goes to stdout, progress and messages to stderr.

Heavy modules are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar

import typer

from contract.errors import COMPLETED_WITH_ERRORS, INTERRUPTED, BulkqaError, UsageError

if TYPE_CHECKING:
    from contract.ledger.progress import Progress
    from contract.queue.redis import RedisQueue
    from contract.settings import Settings
    from contract.storage import Storage
    from producer.input.source import ReadOptions
    from producer.jobs.submit import Request

T = TypeVar("T")

app = typer.Typer(
    help="Answer a file of questions and contexts: submit it, watch the job, read the predictions.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_FILE = "CSV, Parquet or JSON Lines file, also gzipped; - is stdin"
File = Annotated[str, typer.Argument(help=_FILE)]
Job = Annotated[str, typer.Argument(help="job id, or its unambiguous beginning")]
Redis = Annotated[str | None, typer.Option("--redis", help="Redis URL [BULKQA_REDIS_URL]", show_default=False)]
StorageUrl = Annotated[
    str | None,
    typer.Option("--storage", help="folder or URL shared with workers [BULKQA_STORAGE_URL]", show_default=False),
]
Out = Annotated[
    Path | None, typer.Option("-o", "--output", help="write predictions there: .json, .jsonl or .parquet; - is stdout")
]
Format = Annotated[str | None, typer.Option("--format", help="json, jsonl or parquet; default: as -o is named")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Timeout = Annotated[float | None, typer.Option(help="stop waiting after this many seconds; the job goes on")]

Question = Annotated[str, typer.Option("--question", help="column of the questions")]
Context = Annotated[str, typer.Option("--context", help="column of the contexts")]
Id = Annotated[str | None, typer.Option("--id", help="column of the ids; '' for none [default: id, if there is one]")]
Answers = Annotated[
    str | None,
    typer.Option(
        "--answers", help="column of the right answers, for EM and F1; '' for none [default: answers, if there]"
    ),
]
Delimiter = Annotated[str, typer.Option("-d", "--delimiter", help="of a CSV file; \\t for a tab")]
InputFormat = Annotated[str | None, typer.Option("--input-format", help="csv, parquet or jsonl [default: by content]")]

MaxSeqLen = Annotated[int, typer.Option(help="tokens in a window")]
DocStride = Annotated[int, typer.Option(help="tokens that neighbouring windows share")]
MaxQuestionLen = Annotated[int, typer.Option(help="tokens of a question; a longer one is cut and flagged")]
MaxAnswerLen = Annotated[int, typer.Option(help="tokens of an answer, at most")]
TopK = Annotated[int, typer.Option(help="answers a row, best first")]
NoAnswer = Annotated[
    float | None, typer.Option("--no-answer-threshold", help="no answer if null beats the best span by more than this")
]
OmitContext = Annotated[bool, typer.Option("--omit-context", help="leave contexts out of the predictions")]
Model = Annotated[str | None, typer.Option("--model", help="model that the job asks for, by name [BULKQA_MODEL]")]
Key = Annotated[str | None, typer.Option("--key", help="submitting twice with one key finds the first job")]
ChunkRows = Annotated[int | None, typer.Option(help="rows in a chunk, at most [BULKQA_CHUNK_ROWS]", show_default=False)]

_PREVIEW = 12


def main() -> None:
    """Run the command; every error of ours ends in a message and its exit code, never in a traceback."""
    try:
        app()
    except BulkqaError as error:
        print(f"producer: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit's flush has somewhere to go
        sys.exit(0)
    except OSError as error:  # stdout on a full disk, a name too long, and the like
        print(f"producer: {error}", file=sys.stderr)
        sys.exit(1)


@app.command()
def run(
    file: Annotated[
        str | None, typer.Argument(help="CSV, Parquet or JSON Lines file, also gzipped; - is stdin")
    ] = None,
    output: Out = None,
    question: Question = "question",
    context: Context = "context",
    id_column: Id = None,
    answers: Answers = None,
    delimiter: Delimiter = "|",
    input_format: InputFormat = None,
    max_seq_len: MaxSeqLen = 384,
    doc_stride: DocStride = 128,
    max_question_len: MaxQuestionLen = 64,
    max_answer_len: MaxAnswerLen = 30,
    top_k: TopK = 1,
    no_answer_threshold: NoAnswer = None,
    omit_context: OmitContext = False,
    model_dir: Annotated[
        Path | None, typer.Option("--model", help="model directory [BULKQA_MODEL_DIR]", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes to start")] = 1,
    threads: Annotated[int | None, typer.Option(help="threads a worker; 0: all CPUs", show_default=False)] = None,
    chunk_rows: ChunkRows = None,
    redis: Redis = None,
    storage: StorageUrl = None,
    key: Key = None,
    resume: Annotated[str | None, typer.Option("--resume", help="go on with this job instead of a FILE")] = None,
    output_format: Format = None,
    as_json: Json = False,
) -> None:
    """Answer FILE on this machine: starts Redis and a worker, stops them after, prints the answers."""
    from contextlib import closing

    from contract.ledger import records
    from contract.namespace import open_queue
    from producer import local
    from producer.cli import view
    from producer.jobs.submit import find
    from producer.jobs.submit import submit as write_job

    given = _settings(storage_url=storage, model_dir=model_dir, threads=threads, chunk_rows=chunk_rows, redis_url=redis)
    _check_output(output, output_format, file, as_json=as_json)
    store = _storage(given, create=True)
    if (file is None) == (resume is None):
        raise UsageError("name a FILE, or a job with --resume", "For example: producer run samples/questions.csv")
    if resume:
        manifest = records.load(store, find(store, resume))
    else:
        request = _request(locals(), _model_name(given.model_dir))
        with view.reading(str(file)) as progress:
            manifest = write_job(str(file), store, given, request, progress).manifest
    job = manifest.id
    view.say(f"job {job}: {view.rows(manifest)} in {given.storage_url}")
    for ending in (signal.SIGTERM, signal.SIGHUP):  # as when the terminal is closed: stopped in order, as by Ctrl-C
        if signal.getsignal(ending) == signal.SIG_DFL:
            signal.signal(ending, signal.default_int_handler)
    try:
        view.say("starting Redis and a worker")
        with local.stack(given, workers, redis) as stack, closing(open_queue(given, store, stack.redis_url)) as queue:
            stack.wait_ready(queue)
            final = _follow(job, store, queue, given, each=stack.check)
            stack.stop()  # waited for at the end of this block: the answers need not wait
            if output:
                _write_results(store, job, output, output_format)
            published = records.report(store, job) or final
            if as_json:
                _print_json(published.to_json())
            elif output != Path("-"):
                view.answers(store, job, _PREVIEW)
                view.summary(published, output)
    except KeyboardInterrupt:
        again = f"producer run --resume {job}{_flags(storage=storage, model=model_dir, output=output)}"
        view.say(f"\nstopped; what is done is kept. Go on with: {again}")
        raise
    raise typer.Exit(_exit_code(published))


@app.command()
def submit(
    file: File,
    wait: Annotated[bool, typer.Option("--wait", help="wait for the job's end, showing progress")] = False,
    output: Out = None,
    question: Question = "question",
    context: Context = "context",
    id_column: Id = None,
    answers: Answers = None,
    delimiter: Delimiter = "|",
    input_format: InputFormat = None,
    max_seq_len: MaxSeqLen = 384,
    doc_stride: DocStride = 128,
    max_question_len: MaxQuestionLen = 64,
    max_answer_len: MaxAnswerLen = 30,
    top_k: TopK = 1,
    no_answer_threshold: NoAnswer = None,
    omit_context: OmitContext = False,
    model: Model = None,
    key: Key = None,
    chunk_rows: ChunkRows = None,
    redis: Redis = None,
    storage: StorageUrl = None,
    timeout: Timeout = None,
    output_format: Format = None,
    as_json: Json = False,
) -> None:
    """Check FILE, store it as a job and put it on the queue. Prints the job's id."""
    from contract.errors import RedisUnreachable
    from contract.ledger.reconcile import reconcile
    from producer.cli import view
    from producer.jobs.submit import submit as write_job

    given = _settings(storage_url=storage, redis_url=redis, chunk_rows=chunk_rows, model=model)
    _check_output(output, output_format, file, as_json=as_json)
    request = _request(locals(), given.model)
    store, queue = _storage(given, create=True), _queue(given)
    queue.ping()
    with view.reading(file) as progress:
        submitted = write_job(file, store, given, request, progress)
    job = submitted.manifest.id
    try:
        reconcile(job, store, queue, given)
    except RedisUnreachable as error:
        raise RedisUnreachable(
            f"job {job} is stored but not on the queue: {error.message}",
            f"{error.remedy} A sweeper sends it then, or: producer repair {job}",
        ) from error
    view.say(f"{'submitted' if submitted.new else 'found by its key:'} {view.rows(submitted.manifest)}")
    if not (wait or output):
        _print_json(_status(store, queue, job).to_json()) if as_json else print(job)
        return
    if output == Path("-"):
        view.say(f"job {job}")  # stdout is for the predictions alone
    elif not as_json:
        print(job, flush=True)
    final = _wait(job, store, queue, given, timeout)
    _finish(store, final, output, output_format, as_json)


@app.command()
def status(
    job: Job,
    watch: Annotated[bool, typer.Option("--watch", help="until the job ends")] = False,
    redis: Redis = None,
    storage: StorageUrl = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Tell where a job stands: counts, rate, time left, errors. With --watch the exit code is the job's."""
    from producer.cli import view
    from producer.jobs.submit import find

    given = _settings(storage_url=storage, redis_url=redis)
    store, queue = _storage(given), _queue(given)
    job = find(store, job)
    found = _wait(job, store, queue, given, timeout) if watch else _status(store, queue, job)
    _print_json(found.to_json()) if as_json else view.status_table(found)
    if watch:
        raise typer.Exit(_exit_code(found))


@app.command("list")
def list_jobs(redis: Redis = None, storage: StorageUrl = None, as_json: Json = False) -> None:
    """List all jobs with their state, oldest first."""
    from contract.ledger import records
    from producer.cli import view

    given = _settings(storage_url=storage, redis_url=redis)
    store = _storage(given)
    found = list(_of_each(records.jobs(store), lambda job: records.status(store, None, job)).values())
    found.sort(key=lambda progress: progress.created_at)
    _print_json([progress.to_json() for progress in found]) if as_json else view.job_table(found)


@app.command()
def results(
    job: Job,
    output: Out = None,
    follow: Annotated[bool, typer.Option("--follow", help="print predictions as they come, until the end")] = False,
    redis: Redis = None,
    storage: StorageUrl = None,
    output_format: Format = None,
) -> None:
    """Write the predictions of a job, in row order. Of an unfinished one: those ready without a gap."""
    from producer.cli import view
    from producer.jobs.follow import follow as follow_job
    from producer.jobs.submit import find

    given = _settings(storage_url=storage, redis_url=redis)
    output = output or Path("-")
    if follow and output == Path("-"):
        output_format = output_format or "jsonl"
    _check_output(output, output_format)
    store = _storage(given)
    job = find(store, job)
    progress = _status(store, None, job)
    if follow:
        steps = follow_job(job, store, _queue(given), given)
        _write_results(store, job, output, output_format, wait=lambda: any(not step.finished for step in steps))
        progress = _status(store, None, job)
    else:
        _write_results(store, job, output, output_format)
    if not progress.finished:
        done = progress.request_counts
        view.say(f"job {job} is {progress.status}: {done.total - done.pending} of {done.total} rows have their outcome")
    if progress.finished:
        raise typer.Exit(_exit_code(progress))


@app.command()
def cancel(job: Job, redis: Redis = None, storage: StorageUrl = None, as_json: Json = False) -> None:
    """Cancel a job: rows that are done stay, the others get the error job_cancelled. Works while Redis is away."""
    from contract.errors import RedisUnreachable
    from contract.ledger import records
    from contract.ledger.reconcile import reconcile
    from producer.cli import view
    from producer.jobs.submit import find

    given = _settings(storage_url=storage, redis_url=redis)
    store, queue = _storage(given), _queue(given)
    job = find(store, job)
    if not _status(store, None, job).finished:
        records.ask_cancel(store, job)
        try:
            reconcile(job, store, queue, given)
        except RedisUnreachable as error:
            view.say(f"the cancel is noted; {error}")
    found = _status(store, queue, job)
    _print_json(found.to_json()) if as_json else print(f"job {job} is {found.status}")


@app.command()
def repair(
    job: Annotated[str | None, typer.Argument(help="job id; default: all unfinished jobs")] = None,
    redis: Redis = None,
    storage: StorageUrl = None,
    as_json: Json = False,
) -> None:
    """Bring jobs forward whatever was lost: send missing chunks again, publish what is complete."""
    from dataclasses import asdict

    from contract.format import layout
    from contract.ledger import records
    from contract.ledger.reconcile import reconcile
    from producer.jobs.submit import find

    given = _settings(storage_url=storage, redis_url=redis)
    store, queue = _storage(given), _queue(given)
    if job:
        name = find(store, job)
        done = {name: reconcile(name, store, queue, given)}
    else:
        unfinished = [name for name in records.jobs(store) if not store.exists(layout.report(name))]
        done = _of_each(unfinished, lambda name: reconcile(name, store, queue, given))
    if as_json:
        _print_json({name: asdict(one) for name, one in done.items()})
        return
    for name, one in done.items():
        said = "published" if one.published else "has ended" if one.finished else f"{len(one.sent)} chunks sent again"
        print(f"{name}: {said}{f', {len(one.given_up)} given up' if one.given_up else ''}")
    if not done:
        print("no unfinished job")


@app.command()
def check(
    file: File,
    question: Question = "question",
    context: Context = "context",
    id_column: Id = None,
    answers: Answers = None,
    delimiter: Delimiter = "|",
    input_format: InputFormat = None,
    as_json: Json = False,
) -> None:
    """Read FILE as submit would, make no job, and tell what was found: columns, rows, errors, sizes."""
    from producer.cli import view
    from producer.jobs.check import check_file

    given = _settings()
    read = _read_options(locals(), given)
    with view.reading(file) as progress:
        found = check_file(file, read, given, progress)
    _print_json(found.to_json()) if as_json else view.check_table(found)
    raise typer.Exit(COMPLETED_WITH_ERRORS if found.rejected else 0)


@app.command()
def verify(job: Job, redis: Redis = None, storage: StorageUrl = None, as_json: Json = False) -> None:
    """Recount, rehash and re-check a job: every row once and in order, context[start:end] == answer, outputs whole."""
    from producer.cli import view
    from producer.jobs.submit import find
    from producer.jobs.verify import verify_job

    given = _settings(storage_url=storage, redis_url=redis)
    store = _storage(given)
    job = find(store, job)
    with view.counting("verifying") as progress:
        found = verify_job(store, job, progress)
    _print_json(found.to_json()) if as_json else view.verify_table(found)
    raise typer.Exit(1 if found.problems else 0)


@app.command()
def diff(
    first: Job,
    second: Job,
    by: Annotated[Literal["row", "id"], typer.Option(help="what joins the rows of the two jobs")] = "row",
    redis: Redis = None,
    storage: StorageUrl = None,
    as_json: Json = False,
) -> None:
    """List the rows that two jobs answer differently, and count them. Of an unfinished job: the rows that are ready."""
    from producer.cli import view
    from producer.jobs.diff import Summary, differences
    from producer.jobs.submit import find

    store = _storage(_settings(storage_url=storage, redis_url=redis))
    first, second = find(store, first), find(store, second)
    summary = Summary()
    changes = differences(store, first, second, summary, by_id=by == "id")
    if as_json:
        print(f'{{"first": {json.dumps(first)}, "second": {json.dumps(second)}, "changes": [', end="")
        for number, change in enumerate(changes):
            print(",\n" if number else "\n", json.dumps(change, ensure_ascii=False), sep="", end="")
        print(f'], "summary": {json.dumps(summary.to_json())}}}')
        return
    for change in changes:
        view.change(change)
    view.diff_summary(summary)


def _of_each(jobs: list[str], do: Callable[[str], T]) -> dict[str, T]:
    """What `do` says of each job. One that is damaged, or of another version, is told and keeps no other waiting."""
    from contract.errors import Unreachable
    from producer.cli import view

    done = {}
    for job in jobs:
        try:
            done[job] = do(job)
        except Unreachable:
            raise
        except BulkqaError as error:
            view.say(f"job {job}: {error}")
    return done


def _settings(**flags: Any) -> Settings:
    from contract import settings

    os.environ.setdefault("TERM", "dumb")
    return settings.load(**flags)


def _flags(**given: Any) -> str:
    """Flags as they were given, for a command that goes on with the work."""
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)


def _storage(given: Settings, *, create: bool = False) -> Storage:
    from contract.storage import open_storage

    return open_storage(given.storage_url, create=create)


def _queue(given: Settings) -> RedisQueue:
    from contract.namespace import open_queue

    return open_queue(given, _storage(given))


def _read_options(flags: dict[str, Any], given: Settings) -> ReadOptions:
    from producer.input.source import ReadOptions

    return ReadOptions(
        question=flags["question"],
        context=flags["context"],
        id=flags["id_column"],
        answers=flags["answers"],
        delimiter=flags["delimiter"],
        max_row_bytes=given.max_row_bytes,
        format=flags["input_format"],
    )


def _request(flags: dict[str, Any], model: str) -> Request:
    """What the flags that `run` and `submit` share ask for."""
    from dataclasses import fields

    from contract.format.job import Options
    from producer.jobs.submit import Request

    options = Options(**{f.name: flags[f.name] for f in fields(Options) if f.name in flags})
    return Request(read=_read_options(flags, flags["given"]), options=options, model=model, key=flags["key"])


def _model_name(directory: Path) -> str:
    """The name in a model directory's description; everything else in it is the worker's."""
    from contract.errors import ModelError

    try:
        return str(json.loads((directory / "reader.json").read_text("utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{directory} is not a model directory: {error}", "Make one: worker build SOURCE DEST"
        ) from error


def _status(store: Storage, queue: RedisQueue | None, job: str) -> Progress:
    from contract.ledger import records

    return records.status(store, queue, job)


def _wait(job: str, store: Storage, queue: RedisQueue, given: Settings, timeout: float | None) -> Progress:
    """Follow a job to its end with a progress bar. Ctrl-C and a timeout leave it running."""
    from producer.cli import view
    from producer.jobs.follow import TimedOut

    elsewhere = given.storage_url if given.storage_url != _settings().storage_url else None
    again = f"producer status {job} --watch{_flags(storage=elsewhere)}"
    try:
        return _follow(job, store, queue, given, timeout)
    except TimedOut as late:
        view.say(f"{late}; come back with: {again}")
    except KeyboardInterrupt:
        view.say(f"\njob {job} goes on; come back with: {again}")
    raise typer.Exit(INTERRUPTED)


def _follow(
    job: str,
    store: Storage,
    queue: RedisQueue,
    given: Settings,
    timeout: float | None = None,
    each: Callable[[], None] = lambda: None,
) -> Progress:
    """Follow a job to its end, with a progress bar; `each` is called at every look."""
    from producer.cli import view
    from producer.jobs.follow import follow

    with view.scoring(job) as show:
        for progress in follow(job, store, queue, given, timeout):
            show(progress)
            each()
    return progress


def _finish(store: Storage, final: Progress, output: Path | None, kind: str | None, as_json: bool) -> NoReturn:
    from producer.cli import view

    if output:
        _write_results(store, final.id, output, kind)
    if as_json:
        _print_json(final.to_json())
    elif output != Path("-"):
        view.summary(final, output)
    raise typer.Exit(_exit_code(final))


def _check_output(output: Path | None, kind: str | None, file: str | None = None, *, as_json: bool = False) -> None:
    """Complain about -o before the work, not after it. `file` is the input, which nothing may be written over."""
    from producer.jobs.follow import errors_beside
    from producer.jobs.output import format_of, is_special

    if output is None:
        return
    format_of(output, kind or ("json" if output == Path("-") else None))
    if output.is_dir():
        raise UsageError(f"-o {output} is a directory", "Name a file in it, for example answers.json.")
    if as_json and output == Path("-"):
        raise UsageError("--json and -o - both write to stdout", "Name a file for the predictions.")
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if output != Path("-") and not is_special(output) and not os.access(folder, os.W_OK):
        raise UsageError(f"-o {output}: {folder} cannot be written to", "Name another place, or - for stdout.")
    if file is None or output == Path("-"):
        return
    for written, what in ((output, "predictions"), (errors_beside(output), "error rows")):
        with suppress(OSError):  # what is not there is not written over
            if written.samefile("/dev/stdin" if file == "-" else file) and written.is_file():
                raise UsageError(f"-o {output}: the {what} would be written over the input", "Name another output.")


def _write_results(
    store: Storage, job: str, output: Path, kind: str | None, wait: Callable[[], bool] | None = None
) -> None:
    """Write predictions and, beside a file, the error rows; `wait` as for `ready_lines`."""
    from contract.format import layout
    from producer.jobs.follow import errors_beside, ready_lines
    from producer.jobs.output import format_of, is_special, write_file, write_stream

    kind = format_of(output, kind)
    lines = ready_lines(job, store, wait=wait)
    if output == Path("-"):
        write_stream(sys.stdout.buffer, _flushed(lines), kind)
        sys.stdout.flush()
    else:
        write_file(output, lines, kind)
    while wait and wait():
        pass  # the last part is there, and what is published after it not yet
    if output != Path("-") and not is_special(output) and store.exists(layout.errors(job)):
        write_file(errors_beside(output), store.blocks(layout.errors(job)), "jsonl")


def _flushed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, each block of them shown to whoever reads stdout before the next is waited for."""
    for block in lines:
        yield block
        sys.stdout.flush()


def _exit_code(progress: Progress) -> int:
    from producer.jobs.follow import EXIT_CODES

    return EXIT_CODES.get(progress.status, 0)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))
