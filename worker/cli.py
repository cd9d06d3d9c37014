"""The `worker` command: start, sweep, health, info, build, evaluate. Parses flags and prints results.

Heavy modules are imported inside the commands, so that `--help` is fast.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from contract import logs, machine, shipped_model
from contract.command import block_pandas, print_version
from contract.settings import Settings
from contract.settings import load as load_settings

if TYPE_CHECKING:
    from contract.metrics import SweeperMetrics
    from contract.storage import Storage

app = typer.Typer(
    help="Score chunks of question answering jobs, and make the models that do it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """A command, listed with the whole first line of its docstring: typer itself would cut it."""
    app.command(short_help=(function.__doc__ or "").partition("\n")[0])(function)
    return function


Redis = Annotated[str | None, typer.Option("--redis", help="Redis URL [BULKQA_REDIS_URL]", show_default=False)]
StorageUrl = Annotated[
    str | None, typer.Option("--storage", help="folder or URL of the storage [BULKQA_STORAGE_URL]", show_default=False)
]
ModelDir = Annotated[
    Path | None, typer.Option("--model-dir", "--model", help="model directory [BULKQA_MODEL_DIR]", show_default=False)
]
HealthPath = Annotated[
    Path | None,
    typer.Option("--health-file", help="file that shows its health [BULKQA_HEALTH_FILE]", show_default=False),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(help="port for Prometheus metrics; 0: none [BULKQA_METRICS_PORT]", show_default=False),
]
#: The model that ships, in place of a directory.
SHIPPED = "SHIPPED"
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]


@app.callback()
def _callback(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Score chunks of question answering jobs, and make the models that do it."""


@_command
def start(
    redis: Redis = None,
    storage: StorageUrl = None,
    model_dir: ModelDir = None,
    processes: Annotated[
        int | None,
        typer.Option(help="processes; 0: one for every eight CPUs [BULKQA_PROCESSES]", show_default=False),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="scoring threads of each; 0: one for each CPU [BULKQA_THREADS]", show_default=False),
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="cpu, cuda or auto [BULKQA_PROVIDER]", show_default=False)
    ] = None,
    health_file: HealthPath = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Score chunks of the jobs for the model in --model-dir until stopped (by SIGTERM, after the rows in flight)."""
    settings = load_settings(
        redis_url=redis,
        storage_url=storage,
        model_dir=model_dir,
        processes=processes,
        threads=threads,
        provider=provider,
        health_file=health_file,
        metrics_port=metrics_port,
    )
    os.environ["BULKQA_PROVIDER"] = settings.provider  # for the processes of rows in quarantine
    # Chunks are small: Arrow's own allocator, beside malloc and the runtime's arena, would cost 5 MiB for nothing.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a worker has threads enough (`worker.reader.encode`)
    machine.give_memory_back()
    block_pandas()
    logs.set_up(settings.log_format, settings.log_level)
    os.environ["BULKQA_REDIS_URL"] = settings.redis_url  # for a restart
    os.environ.pop("CELERY_BROKER_URL", None)  # read above; Celery would prefer it to a flag
    os.environ.pop("CELERY_RESULT_BACKEND", None)
    with _counters(settings.metrics_port):
        from contract.storage import open_storage
        from worker.tasks import serve

        serve(settings, _namespace(settings, open_storage(settings.storage_url, create=True)))


@contextmanager
def _counters(port: int) -> Iterator[None]:
    """A folder where a worker's processes keep their counters (`worker.metrics`), made before prometheus_client is
    imported. A worker that restarts keeps it. No folder without a port."""
    name, prefix = "PROMETHEUS_MULTIPROC_DIR", "bulkqa-metrics-"
    if not port:
        os.environ.pop(name, None)
        yield
        return
    folder = os.environ[name] = os.environ.get(name) or tempfile.mkdtemp(prefix=prefix)
    try:
        yield
    finally:
        if Path(folder).name.startswith(prefix):
            shutil.rmtree(folder, ignore_errors=True)


@_command
def sweep(
    redis: Redis = None,
    storage: StorageUrl = None,
    interval: Annotated[
        float | None, typer.Option(help="seconds between rounds [BULKQA_SWEEP_INTERVAL]", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="one round, then exit")] = False,
    health_file: HealthPath = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Recover jobs: send lost messages again, publish complete jobs, deliver webhooks. Run one beside the workers."""
    settings = load_settings(
        redis_url=redis,
        storage_url=storage,
        sweep_interval=interval,
        health_file=health_file,
        metrics_port=metrics_port,
    )
    logs.set_up(settings.log_format, settings.log_level)
    from contract.ledger.sweeper import sweep_jobs
    from contract.metrics import SweeperMetrics
    from contract.metrics import serve as serve_metrics
    from contract.namespace import open_queue
    from contract.storage import open_storage

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    storage_ = open_storage(settings.storage_url, create=True)
    metrics = SweeperMetrics()
    if settings.metrics_port:
        serve_metrics(metrics.registry, settings.metrics_host, settings.metrics_port)
    with _notifying(storage_, settings, metrics, stopped, once=once):
        sweep_jobs(
            storage_, open_queue(settings, storage_), settings, stopped=stopped, once=once, on_round=metrics.count_round
        )


@contextmanager
def _notifying(
    storage: Storage, settings: Settings, metrics: SweeperMetrics, stopped: threading.Event, *, once: bool
) -> Iterator[None]:
    """Deliver the webhooks of ended jobs, in a thread beside the sweeper; with `once`, after it."""
    from contract.errors import MissingExtra

    try:
        from contract.notifications.send import Sender
    except MissingExtra as error:
        logging.getLogger("bulkqa.sweeper").info("webhooks are not delivered: %s", error)
        yield
        return
    sender = Sender(storage, settings)
    sender.on_attempt = lambda attempt: metrics.count_delivery(delivered=attempt.delivered)
    if once:
        yield
        sender.round()
        return
    thread = threading.Thread(target=sender.run, args=(stopped,), name="notifications", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(15)  # a delivery takes ten seconds at most


@_command
def health(
    health_file: HealthPath = None,
    as_json: Json = False,
) -> None:
    """Exit 0 if all workers and sweepers of this container are healthy: each touched its file within 60 seconds."""
    from worker.health import show

    raise typer.Exit(show(load_settings(health_file=health_file).health_file, as_json=as_json))


@_command
def info(
    directory: Annotated[Path | None, typer.Argument(help="default: the model that ships with bulkqa")] = None,
    as_json: Json = False,
) -> None:
    """Describe a model directory: name, digest, precision, limits, known answers, quality."""
    from worker.reader.model import describe

    path = directory or load_settings().model_dir
    description = describe(path).to_json()
    if as_json:
        print(json.dumps(description, ensure_ascii=False, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("", str(path), show_lines=False)
    for name, value in description.items():
        if name not in ("template", "known_answers", "schema_version"):
            table.add_row(name, json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value))
    for known in description["known_answers"]:
        table.add_row("known answer", f"{known['question']} -> {known['answer']}")
    Console().print(table)


@_command
def build(
    source: Annotated[str, typer.Argument(help="Hugging Face id, or folder of a question answering checkpoint")],
    destination: Annotated[Path, typer.Argument(help="model directory to create")],
    precision: Annotated[
        Literal["int8", "fp16", "fp32"], typer.Option(help="int8 for CPUs, fp16 for GPUs, or fp32")
    ] = "int8",
    name: Annotated[str | None, typer.Option(help="name that jobs ask for; default: the directory's")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="SQuAD-format file to measure EM and F1 on")] = None,
    null_trained: Annotated[
        bool | None, typer.Option(help="whether it was trained on unanswerable questions; default: by its name")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing model directory")] = False,
    force_unknown: Annotated[
        bool, typer.Option("--force-unknown", help="build it even if it answers none of the known questions")
    ] = False,
) -> None:
    """Build a model directory: export to ONNX, optimize, quantize, verify. Needs the extra [build]."""
    from worker.build import build as build_model

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    built = build_model(
        source,
        destination,
        precision=precision,
        name=name,
        evaluation=evaluation,
        null_trained=null_trained,
        force=force,
        force_unknown=force_unknown,
        progress=say,
    )
    print(json.dumps({"directory": str(destination), "name": built.name, "digest": built.digest}))


@_command
def evaluate(
    file: Annotated[Path, typer.Argument(help="SQuAD-format JSON file")],
    model_dir: ModelDir = None,
    compare: Annotated[
        Path | None, typer.Option(help=f"a second model directory, to compare with; {SHIPPED}: the model that ships")
    ] = None,
    no_answer_threshold: Annotated[
        float | None,
        typer.Option(help="no answer if null beats the best span by more than this [default: the model's]"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="scoring threads; 0: one for each CPU [BULKQA_THREADS]", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure EM, F1 and rows/s of a model on a SQuAD-format file; with two models, also how many answers differ."""
    settings = load_settings(model_dir=model_dir, threads=threads)
    from contract.format.job import Options
    from worker.evaluate import answers_and_quality, load_squad
    from worker.reader.open import open_reader

    examples = load_squad(file)
    options = Options(no_answer_threshold=no_answer_threshold)
    second = [shipped_model() if str(compare) == SHIPPED else compare] if compare else []
    directories = [settings.model_dir, *second]
    # Open both before spending minutes on the first.
    readers = [open_reader(directory, settings.provider) for directory in directories]
    answers: list[list[str | None]] = []
    results: list[dict[str, Any]] = []
    for directory, reader in zip(directories, readers, strict=True):
        with _bar(f"{reader.info.name} {reader.info.precision}", len(examples)) as advance:
            answered, quality = answers_and_quality(
                reader, examples, options, settings.threads or machine.available_cpus(), lambda *_: advance()
            )
        answers.append(answered)
        about = {"model": reader.info.name, "precision": reader.info.precision, "digest": reader.info.digest}
        results.append({"directory": str(directory), **about, **quality})
    if compare:
        results[1]["changed_answers"] = sum(one != other for one, other in zip(*answers, strict=True))
    if as_json:
        print(json.dumps(results if compare else results[0], indent=1))
        return
    _table(results)


@app.command(hidden=True)
def quarantine(model_dir: ModelDir = None) -> None:
    """Score the one row on stdin and print its outcome. A worker runs this to find out whether the row kills."""
    from dataclasses import asdict

    from contract.format.job import Options, Row
    from worker.attempt import WARM
    from worker.reader.open import open_reader
    from worker.scoring import answer_alone

    settings = load_settings(model_dir=model_dir)

    def reset_watchdog() -> None:
        # A hang ends the process, even if the worker that waits for it is gone.
        faulthandler.dump_traceback_later(settings.stall, exit=True, file=sys.__stderr__ or sys.stderr)

    reset_watchdog()
    request = json.load(sys.stdin)
    reader = open_reader(settings.model_dir, settings.provider)
    reader.on_progress(reset_watchdog)
    print(WARM, flush=True)
    outcome = answer_alone(Row(0, request["question"], request["context"]), reader, Options(**request["options"]))
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps(asdict(outcome)))


def _namespace(settings: Settings, storage: Storage) -> str:
    """The namespace of the storage. For an object store another process reads it: the store's client has threads, and
    a child that Celery forks would wait for them forever."""
    from contract.namespace import namespace_at, namespace_of
    from contract.storage.local import LocalStorage

    if settings.namespace or isinstance(storage, LocalStorage):
        return namespace_of(settings, storage)
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(namespace_at, settings).result()


def _table(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for name in results[-1]:
        if name != "directory":
            values = [result.get(name, "") for result in results]
            table.add_row(name, *(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values))
    Console().print(table)


def _bar(title: str, total: int) -> Any:
    """A progress bar on stderr if that is a terminal. The block gets a callable that advances it by one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def shown() -> Any:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)

    return shown()
