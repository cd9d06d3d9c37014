"""The commands as a user types them: outputs, exit codes, and what bad input gets. No traceback, ever."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bulkqa import Client
from contract.format import layout
from contract.ledger import records
from contract.settings import Settings
from contract.storage.local import LocalStorage
from producer.cli import view
from tests.acceptance.cluster import REPO, Cluster, check, until, write_rows
from tests.making import csv, finish, finish_parts, job_of
from tests.preloaded import Commands
from tests.twins.queue import MemoryQueue

GOOD = "id|question|context\na|Who keeps the light?|The light is kept by Ingrid Aas.\n"


def command(name: str, *arguments: str, cwd: Path, env: dict[str, str] | None = None, **options: object):  # type: ignore[no-untyped-def]
    given = {
        "cwd": cwd,
        "env": os.environ | (env or {}),
        "capture_output": True,
        "text": True,
        "timeout": 100,
    } | options
    done = subprocess.run([sys.executable, "-m", name, *arguments], check=False, **given)  # type: ignore[call-overload]
    assert "Traceback" not in done.stderr, done.stderr
    return done


Producer: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def producer(commands: Commands, tmp_path: Path) -> Producer:
    """A command that was not started anew, in the test's folder."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        done = commands.run(*arguments, cwd=tmp_path, env=os.environ | env)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_run_answers_a_file_and_leaves_nothing_running(tmp_path: Path) -> None:
    done = command("producer", "run", str(REPO / "samples/questions.csv"), "-o", "answers.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 answered" in done.stdout
    predictions = json.loads((tmp_path / "answers.json").read_text())["predictions"]
    assert len(predictions) == 12
    for p in predictions:
        assert p["context"][p["start"] : p["end"]] == p["answer"]
    assert predictions[0]["answer"] == "1874"
    assert predictions[0]["passthrough"] == {"topic": "history"}
    assert not _ours(tmp_path)


def test_run_reports_bad_rows_and_the_error_file_can_be_mended_and_submitted(
    tmp_path: Path, producer: Producer
) -> None:
    done = producer("run", str(REPO / "samples/bad_rows.csv"), "-o", "bad.jsonl")
    assert done.returncode == 3
    lines = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [p["row"] for p in lines] == list(range(11))
    assert sum(p["status"] == "answered" for p in lines) == 4
    errors = tmp_path / "bad.errors.csv"
    checked = producer("check", str(errors), "--json")
    found = json.loads(checked.stdout)
    assert found["rows"] == 7
    assert found["columns"] == ["id", "question", "context", "topic"]


def test_the_input_is_never_written_over(tmp_path: Path, producer: Producer) -> None:
    """Nor by the error rows of a mended error file; and a link to it is the same file."""
    mended = tmp_path / "bad.errors.csv"
    mended.write_text(GOOD)
    (tmp_path / "link.json").symlink_to(mended)
    env = {"BULKQA_REDIS_URL": "redis://127.0.0.1:1/0"}
    for name, what in (("bad.json", "error rows"), ("link.json", "predictions"), ("./bad.errors.csv", "predictions")):
        for verb in ("run", "submit"):
            done = producer(verb, mended.name, "-o", name, "--format", "json", **env)
            assert done.returncode == 2
            assert f"the {what} would overwrite the input" in done.stderr
            assert "Name another output" in done.stderr
    with mended.open() as stdin:
        piped = command("producer", "submit", "-", "-o", "bad.json", cwd=tmp_path, env=env, stdin=stdin)
    assert piped.returncode == 2
    other = producer("submit", mended.name, "-o", "bad.errors.json", **env)
    assert other.returncode == 6, "it goes on as far as Redis"
    assert mended.read_text() == GOOD


def test_run_has_as_many_processes_as_asked_for(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "many.csv", 3000, padding=8)
    command_ = [sys.executable, "-m", "producer", "run", str(file), "--processes", "2", "--threads", "1"]

    def children() -> list[psutil.Process]:
        started = psutil.Process(process.pid).children()
        workers = [one for one in started if "worker" in one.cmdline() and "start" in one.cmdline()]
        return workers[0].children() if workers else []

    with subprocess.Popen(command_, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: len(children()) == 2, "two processes")
        finally:
            process.terminate()
    assert process.returncode == 130


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_what_was_started_and_keeps_the_job(
    tmp_path: Path, producer: Producer, how: signal.Signals
) -> None:
    """Ctrl-C, and a terminal that is closed."""
    file = write_rows(tmp_path / "many.csv", 3000, padding=8)
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", "run", str(file), "--storage", "kept here"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(how, signal.SIG_DFL),  # tests may run where it is ignored, as under nohup
    )
    until(lambda: list(tmp_path.glob("kept here/jobs/*/attempts/*")), "the first attempt")
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    job = next(tmp_path.glob("kept here/jobs/*")).name
    assert f"producer run --resume {job} --storage 'kept here'" in said, "it must say how to go on"
    assert not _ours(tmp_path)
    status = json.loads(producer("status", job, "--storage", "kept here", "--json").stdout)
    assert status["request_counts"]["total"] == 3000


def test_run_goes_on_with_a_job_that_was_stopped(tmp_path: Path, producer: Producer) -> None:
    write_rows(tmp_path / "in.csv", 60, padding=8)
    run = [sys.executable, "-m", "producer", "run", "in.csv", "--chunk-rows", "5"]
    with subprocess.Popen(run, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: list(tmp_path.glob("bulkqa-data/jobs/*/parts/*")), "the first part")
        process.kill()
    until(lambda: not _ours(tmp_path), "what was started to end with its parent")
    job = next(tmp_path.glob("bulkqa-data/jobs/*")).name
    done = producer("run", "--resume", job, "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == list(range(60))


def test_a_question_from_stdin(tmp_path: Path) -> None:
    question = {"question": "Who keeps the light?", "context": "The light is kept by Ingrid Aas."}
    done = command("producer", "run", "-", "-o", "-", cwd=tmp_path, input=json.dumps(question))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"][0]["answer"] == "Ingrid Aas"


def _bad_files(folder: Path) -> dict[str, tuple[bytes | Callable[[Path], None], str]]:
    def directory(path: Path) -> None:
        path.mkdir()

    def nested(path: Path) -> None:
        pq.write_table(pa.table({"question": [["q"]], "context": ["c"]}), path)

    def truncated(path: Path) -> None:
        pq.write_table(pa.table({"question": ["q"], "context": ["c"]}), path)
        path.write_bytes(path.read_bytes()[:-6])

    return {
        "empty.csv": (b"", "empty"),
        "header.csv": (b"question|context\n", "no rows"),
        "columns.csv": (b"q|context\na|b\n", "--question"),
        "comma.csv": (b"question,context\na,b\n", "--delimiter ','"),
        "utf16.csv": (GOOD.encode("utf-16"), "iconv"),
        "folder.csv": (directory, "no files"),
        "nested.parquet": (nested, "list"),
        "truncated.parquet": (truncated, "Parquet"),
        "array.json": (b'[{"question": "q", "context": "c"}', "jq"),
    }


@pytest.mark.parametrize("name", _bad_files(Path()))
def test_a_file_that_cannot_be_read_gets_its_name_the_reason_and_exit_2(
    tmp_path: Path, producer: Producer, name: str
) -> None:
    made, says = _bad_files(tmp_path)[name]
    path = tmp_path / name
    path.write_bytes(made) if isinstance(made, bytes) else made(path)
    for verb in ("run", "check"):
        done = producer(verb, name)
        assert done.returncode == 2, done.stdout + done.stderr
        assert name in done.stderr
        assert says in done.stderr
    assert not list(tmp_path.glob("bulkqa-data/jobs/*/manifest.json"))


@pytest.mark.parametrize("url", ["https://user:s3cret@host/in.csv?token=s3cret", "ftp://user:s3cret@host/in.csv"])
def test_a_url_that_holds_a_password_or_is_of_no_known_kind_is_refused_and_not_shown(
    producer: Producer, url: str
) -> None:
    done = producer("check", url)
    assert done.returncode == 2
    assert "| producer submit -" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_missing_file_gets_exit_2(producer: Producer) -> None:
    done = producer("check", "nowhere.csv")
    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr


def test_an_unreachable_redis_gets_exit_6_at_once_and_no_secret(tmp_path: Path, producer: Producer) -> None:
    (tmp_path / "in.csv").write_text(GOOD)
    started = time.monotonic()
    done = producer("submit", "in.csv", BULKQA_REDIS_URL="redis://user:hunter2@127.0.0.1:1/0")
    assert done.returncode == 6
    assert "127.0.0.1:1" in done.stderr
    assert "BULKQA_REDIS_URL" in done.stderr
    assert "hunter2" not in done.stderr
    assert time.monotonic() - started < 30
    assert not list(tmp_path.glob("bulkqa-data/jobs/*")), "nothing may be written for a job that cannot be sent"


def test_an_unreachable_storage_gets_exit_6(producer: Producer) -> None:
    done = producer("list", "--storage", "/proc/nowhere/at/all")
    assert done.returncode == 6
    assert "/proc/nowhere/at/all" in done.stderr


@pytest.mark.parametrize("job", ["20990101-000000-00000000", "../../etc", "a/b", ".."])
def test_an_unknown_job_gets_exit_2(tmp_path: Path, producer: Producer, job: str) -> None:
    (tmp_path / "bulkqa-data").mkdir()
    for verb in ("status", "results", "cancel", "repair", "verify"):
        done = producer(verb, job)
        assert done.returncode == 2, done.stderr
        assert job in done.stderr


def test_a_worker_refuses_a_model_directory_that_does_not_fit(running: Cluster) -> None:
    shipped = REPO / "models" / "minilm-l6-qa"
    broken = running.folder / "broken"
    broken.mkdir()
    for file in shipped.iterdir():
        (broken / file.name).symlink_to(file)
    (broken / "tokenizer.json").unlink()
    (broken / "tokenizer.json").write_text((shipped / "tokenizer.json").read_text().replace('"the"', '"teh"', 1))
    for directory, says in ((running.folder / "nowhere", "no model directory"), (broken, "digest")):
        worker = running.worker("--model-dir", str(directory))
        assert worker.wait(30) == 2
        assert says in running.log(len(running.workers) - 1)


def test_a_worker_waits_for_redis_and_says_so(running: Cluster) -> None:
    worker = running.worker("--redis", "redis://127.0.0.1:1/0")
    until(lambda: "127.0.0.1:1/0: Error 111" in running.log(), "the worker to say that it waits")
    assert worker.poll() is None


def test_a_key_finds_the_first_job(running: Cluster) -> None:
    write_rows(running.folder / "in.csv", 5)
    first = running.submit("in.csv", key="monday")
    assert running.submit("in.csv", key="monday") == first
    write_rows(running.folder / "in.csv", 6)
    other = running.producer("submit", "in.csv", "--key", "monday")
    assert other.returncode == 2
    assert "monday" in other.stderr


def test_results_of_a_running_job_are_its_ordered_prefix(running: Cluster) -> None:
    write_rows(running.folder / "in.csv", 200)
    job = running.submit("in.csv", chunk_rows=10)
    assert json.loads(running.producer("results", job).stdout)["predictions"] == []
    running.worker()
    running.await_parts(job, 2)
    rows = [p["row"] for p in json.loads(running.producer("results", job).stdout)["predictions"]]
    assert rows == list(range(len(rows)))
    assert len(rows) >= 10
    followed = running.producer("results", job, "--follow")
    assert [json.loads(line)["row"] for line in followed.stdout.splitlines()] == list(range(200))
    assert followed.returncode == 0


def ended(folder: Path, data: bytes, settings: Settings) -> tuple[LocalStorage, str]:
    """A job that has ended, in the storage that commands look in by default."""
    storage = LocalStorage(folder / "bulkqa-data", create=True)
    job = job_of(storage, settings, data).id
    finish(job, storage, MemoryQueue(), settings)
    return storage, job


def test_results_of_a_job_that_was_damaged_are_whole_or_refused(
    tmp_path: Path, producer: Producer, settings: Settings
) -> None:
    storage, job = ended(tmp_path, csv(9), settings)
    before = producer("results", job).stdout
    part = layout.part(job, 1)
    storage.replace(part, storage.read(part).replace(b"word", b"WORD", 1))
    done = producer("results", job)
    assert (done.returncode, done.stdout) == (0, before)
    followed = producer("results", job, "--follow")
    assert (followed.returncode, len(followed.stdout.splitlines())) == (0, 9)
    assert len(json.loads(before)["predictions"]) == 9
    storage.delete(layout.predictions(job))
    for verb in (("results", job), ("results", job, "--follow"), ("results", job, "-o", "x.json"), ("diff", job, job)):
        done = producer(*verb)
        assert done.returncode == 1
        assert "part 1" in done.stderr
        assert f"producer repair {job}" in done.stderr
    assert not (tmp_path / "x.json").exists()


def test_following_writes_what_results_without_it_writes(
    tmp_path: Path, producer: Producer, settings: Settings
) -> None:
    _, job = ended(tmp_path, csv(9, bad=(1,)), settings)
    for name in ("a.json", "a.jsonl", "a.parquet"):
        for folder, flags in (("once", ()), ("followed", ("--follow",))):
            done = producer("results", job, *flags, "-o", f"{folder}/{name}")
            assert done.returncode == 3, done.stderr
        once, followed = tmp_path / "once" / name, tmp_path / "followed" / name
        assert followed.read_bytes() == once.read_bytes()
    assert pq.read_table(followed).num_rows == 9
    assert (tmp_path / "followed/a.errors.csv").read_text() == (tmp_path / "once/a.errors.csv").read_text()
    document = producer("results", job, "--follow", "--format", "json").stdout
    assert document == (tmp_path / "once/a.json").read_text()
    assert producer("results", job, "--follow").stdout.splitlines()[0].startswith('{"row":0,')
    for flags in ((), ("--follow",)):
        refused = producer("results", job, *flags, "--format", "xml")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "cannot be written as 'xml'" in refused.stderr


def test_following_goes_on_to_the_end_of_the_job_and_its_error_rows(running: Cluster, settings: Settings) -> None:
    """Here all parts are there, and nobody has put them together yet."""
    manifest = job_of(running.storage, settings, csv(9, bad=(1,)))
    finish_parts(running.storage, manifest)
    done = running.producer("results", manifest.id, "--follow", "-o", "x.json")
    assert done.returncode == 3, done.stderr
    assert len(json.loads((running.folder / "x.json").read_text())["predictions"]) == 9
    assert "empty_question" in (running.folder / "x.errors.csv").read_text()


def test_the_python_api_takes_and_gives_data_frames(shared: Cluster) -> None:
    import pandas as pd

    client = Client(storage=shared.storage.url, redis=shared.redis_url)
    before = client.jobs()
    frame = pd.DataFrame({"question": ["Who keeps the light?"], "context": ["Ingrid Aas keeps the light."], "n": [7]})
    job = client.submit(frame)
    assert job.wait(timeout=60).status == "completed"
    results = job.results()
    assert results.loc[0, "answer"] == "Ingrid Aas"
    assert results.loc[0, "n"] == 7
    assert set(client.jobs()) - set(before) == {job}
    client.close()


def test_a_large_job_is_cancelled_at_once_and_ended_by_repair(running: Cluster) -> None:
    write_rows(running.folder / "in.csv", 200)
    job = running.producer("submit", "in.csv", "--chunk-rows", "1").stdout.strip()
    cancelled = running.producer("cancel", job)
    assert cancelled.stdout == f"job {job} is cancelling\n"
    assert f"if none runs: producer repair {job}" in cancelled.stderr
    assert "published" in running.producer("repair", job).stdout
    assert json.loads(running.producer("status", job, "--json").stdout)["status"] == "cancelled"


def test_health_tells_whether_the_worker_lives(running: Cluster) -> None:
    running.worker()
    running.ready()
    file = str(running.folder / "health-0")
    assert command("worker", "health", "--health-file", file, cwd=running.folder).returncode == 0
    os.utime(file, (1, 1))
    # Its next sign of life makes it healthy again.
    until(lambda: command("worker", "health", "--health-file", file, cwd=running.folder).returncode == 0, "health")
    assert command("worker", "health", "--health-file", "nowhere", cwd=running.folder).returncode == 1


def test_health_names_each_process_and_a_dead_one_is_not_healthy(running: Cluster) -> None:
    env = {"TMPDIR": str(running.folder), "BULKQA_HEALTH_FILE": ""}
    workers = [
        running.worker(TMPDIR=str(running.folder), BULKQA_HEALTH_FILE="", no_health_file="yes") for _ in range(2)
    ]
    running.ready(2)
    healthy = command("worker", "health", cwd=running.folder, env=env)
    assert healthy.returncode == 0
    assert all(f"worker-{worker.pid}: healthy" in healthy.stdout for worker in workers)
    os.killpg(workers[0].pid, signal.SIGKILL)
    workers[0].wait()
    dead = command("worker", "health", cwd=running.folder, env=env)
    assert dead.returncode == 1
    assert f"worker-{workers[0].pid}: dead" in dead.stdout
    assert f"worker-{workers[1].pid}: healthy" in dead.stdout


def test_a_reader_of_stdout_that_has_enough_is_no_error(tmp_path: Path, settings: Settings) -> None:
    """`producer results JOB --format jsonl | head -n 1`."""
    storage = LocalStorage(tmp_path, create=True)
    job = job_of(storage, settings.model_copy(update={"chunk_rows": 1000}), csv(4000))
    finish(job.id, storage, MemoryQueue(), settings)
    for verb in (("results", job.id, "--format", "jsonl"), ("list",), ("status", job.id)):
        line = f"{shlex.join([sys.executable, '-m', 'producer', *verb, '--storage', str(tmp_path)])} | head -c 1"
        done = subprocess.run(
            ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, ""), verb


def _waiting(pipe: IO[str]) -> int:
    """Bytes that were written to a pipe and not read yet."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


def test_an_interrupt_before_there_is_a_job_says_so(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", "run", str(pipe)], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with pipe.open("w") as file:  # opened by both: it reads, and waits for more
        file.write(GOOD)
        file.flush()
        # A signal right before a read begins is seen after it, which here never ends: the second read is waited for.
        blocked = Path(f"/proc/{process.pid}/wchan")
        until(lambda: not _waiting(file) and "pipe_read" in blocked.read_text(), "it reads on")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted: no job was created" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("bulkqa-data/jobs/*/manifest.json"))


def test_waiting_prints_the_id_on_stdout_and_all_else_on_stderr(shared: Cluster) -> None:
    done = shared.producer("submit", str(write_rows(shared.folder / "in.csv", 5)), "--wait")
    assert done.returncode == 0
    assert shared.storage.exists(layout.report(done.stdout.strip()))
    assert "completed: 5 answered" in done.stderr


def test_nobody_who_serves_the_model_is_told_at_submit(running: Cluster) -> None:
    done = running.producer("submit", str(write_rows(running.folder / "in.csv", 5)), "--model", "absent")
    assert done.returncode == 0
    assert "no worker serves the model absent" in done.stderr
    assert "worker start --model" in done.stderr
    listed = json.loads(running.producer("list", "--json").stdout)
    assert [job["reason"]["code"] for job in listed] == ["no_worker"]


def test_messages_of_strangers_are_dropped(shared: Cluster) -> None:
    for job, chunk in (("../../etc", 0), ("no-such-job", 0), ("x", "y"), ({"a": 1}, [2])):
        shared.queue._app.send_task("bulkqa.score.v1", args=[job, chunk], queue="v1.minilm-l6-qa")
    job = shared.submit(write_rows(shared.folder / "in.csv", 10))
    shared.queue._app.send_task("bulkqa.score.v1", args=[job, 99], queue="v1.minilm-l6-qa")
    assert shared.finish(job)["status"] == "completed"
    check(shared, job, 10)


def _ours(folder: Path) -> list[psutil.Process]:
    """Processes that still work in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_a_list_of_jobs_has_its_numbers_on_a_narrow_terminal(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shared.submit(REPO / "samples/bad_rows.csv")
    shared.finish(job)
    shown = io.StringIO()
    monkeypatch.setattr(view, "_stdout", Console(width=80, file=shown))
    view.show_jobs([records.status(shared.storage, None, job)])
    (line,) = [line for line in shown.getvalue().splitlines() if job in line]
    assert line.replace("│", "").split() == [job, "completed_with_errors", "11", "100%", "7"]


@pytest.mark.parametrize("program", ["producer", "worker"])
def test_the_version_is_told(tmp_path: Path, program: str) -> None:
    done = command(program, "--version", cwd=tmp_path)
    assert done.returncode == 0
    assert re.fullmatch(r"bulkqa \d+\.\d+\.\d+\n", done.stdout)


def test_an_empty_key_is_refused_before_anything_is_written(tmp_path: Path, producer: Producer) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    for verb in ("run", "submit"):
        done = producer(verb, "good.csv", "--key", "", "--storage", "here")
        assert done.returncode == 2
        assert "the key is empty" in done.stderr
    assert not list(tmp_path.glob("here/jobs/*"))


def test_results_as_json_are_the_document(tmp_path: Path, producer: Producer, settings: Settings) -> None:
    storage = LocalStorage(tmp_path, create=True)
    job = job_of(storage, settings)
    finish(job.id, storage, MemoryQueue(), settings)
    given = ("--storage", str(tmp_path))
    document = producer("results", job.id, "--json", *given)
    assert document.returncode == 0
    assert len(json.loads(document.stdout)["predictions"]) == 8
    assert document.stdout == producer("results", job.id, *given).stdout
    refused = producer("results", job.id, "--json", "--format", "jsonl", *given)
    assert refused.returncode == 2
    assert "two formats" in refused.stderr


def test_windows_longer_than_the_model_takes_are_told(tmp_path: Path, producer: Producer) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    done = producer("run", "good.csv", "--max-seq-len", "1000")
    assert done.returncode == 0
    assert "the model takes at most 512 tokens: windows have 512, not 1000" in done.stderr
