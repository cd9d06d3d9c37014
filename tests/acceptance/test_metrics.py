"""What Prometheus is told: of real jobs, scraped by a real Prometheus; alerts and dashboard go with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from contract.ledger import records
from tests.acceptance.cluster import REPO, Cluster, end, until, write_rows
from tests.acceptance.serving import serving

MONITORING = REPO / "deploy" / "monitoring"
RULES = [rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((MONITORING / "dashboard.json").read_text())["panels"]


def scraped(client: httpx.Client | int) -> dict[tuple[str, ...], float]:
    """Samples by name and values of labels, of a server or of a port of this machine."""
    text = httpx.get(f"http://127.0.0.1:{client}/metrics") if isinstance(client, int) else client.get("/metrics")
    families = text_string_to_metric_families(text.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def test_a_job_is_seen_from_its_submission_to_its_end(running: Cluster, tmp_path: Path):
    job = running.submit(write_rows(tmp_path / "rows.csv", 30), chunk_rows=10)
    with serving(running) as client:
        waits = scraped(client)
        assert waits["bulkqa_jobs", "queued"] == 1
        assert waits["bulkqa_jobs_waiting", "no_worker"] == 1
        assert waits["bulkqa_rows_pending", "minilm-l6-qa"] == 30
        assert waits["bulkqa_chunks_unfinished", "minilm-l6-qa"] == 3
        assert waits["bulkqa_messages_waiting", "minilm-l6-qa"] >= 1
        assert waits["bulkqa_oldest_job_seconds",] > 0
        assert waits["bulkqa_redis_up",] == waits["bulkqa_storage_up",] == 1
        running.worker()
        running.finish(job)
        ended = scraped(client)
        assert ended["bulkqa_jobs", "completed"] == 1
        assert ended["bulkqa_jobs", "queued"] == 0
        assert ended["bulkqa_rows_pending", "minilm-l6-qa"] == 0
        assert ended["bulkqa_oldest_job_seconds",] == 0
        (workers,) = (value for name, value in ended.items() if name[0] == "bulkqa_workers")
        assert workers == 1
        assert ended["bulkqa_http_request_seconds_count", "GET", "200"] == 1
        running.producer("delete", job)
        assert scraped(client)["bulkqa_jobs", "completed"] == 0


def test_what_is_away_is_told_and_what_is_there_too(running: Cluster, tmp_path: Path):
    running.submit(write_rows(tmp_path / "rows.csv", 3))
    with serving(running, BULKQA_REDIS_URL="redis://localhost:1/0") as client:
        found = scraped(client)
        assert found["bulkqa_redis_up",] == 0
        assert found["bulkqa_jobs_waiting", "redis_unreachable"] == 1
        assert not [name for name in found if name[0] == "bulkqa_workers"]


def served(port: int) -> bool:
    try:
        return bool(scraped(port))
    except httpx.HTTPError:
        return False


@contextmanager
def sweeping(running: Cluster, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "worker", "sweep", "--interval", "0.3", "--metrics-port", str(port)]
    with subprocess.Popen(command, env=running.env, cwd=running.folder, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: served(port), "the metrics of the sweeper")
            yield
        finally:
            process.terminate()
            assert process.wait(30) == 0


def test_a_worker_counts_what_all_its_processes_do_and_what_died_of_them_did(running: Cluster, tmp_path: Path):
    port = _free_port()
    (running.folder / "counted").mkdir()
    worker = running.worker("--processes", "2", "--metrics-port", str(port), TMPDIR=str(running.folder / "counted"))
    running.ready(2)
    until(lambda: served(port), "the metrics of the worker")
    assert sum(value for name, value in scraped(port).items() if name[0] == "bulkqa_worker_model_info") == 2
    first = running.submit(REPO / "samples" / "bad_rows.csv")
    running.finish(first)
    found = scraped(port)
    assert found["bulkqa_worker_rows_total", "answered"] == 4
    assert found["bulkqa_worker_rows_total", "failed"] == 7
    assert found["bulkqa_worker_row_errors_total", "empty_question"] >= 1
    assert found["bulkqa_worker_windows_total",] >= 4
    assert found["bulkqa_worker_tokens_total",] > found["bulkqa_worker_windows_total",]
    assert found["bulkqa_worker_attempts_total", "done"] == found["bulkqa_worker_chunk_seconds_count",] == 1
    for stage in ("read", "encode", "score", "decode", "write"):
        assert found["bulkqa_worker_stage_seconds_total", stage] > 0
    with running.client() as client:
        client.answer("When was the mill founded?", "The mill was founded in 1532.")
    assert scraped(port)["bulkqa_worker_question_seconds_count",] == 1
    second = running.submit(write_rows(tmp_path / "rows.csv", 120, padding=8), chunk_rows=30)
    held = until(lambda: [one for one in running.queue.workers() if one.job == second], "a chunk that is held")
    children = psutil.Process(worker.pid).children()
    assert len(children) == len(running.queue.workers()) == 2
    assert held
    for child in children:
        child.kill()
    running.finish(second)
    found = scraped(port)
    assert found["bulkqa_worker_rows_total", "answered"] == 4 + 120, "what the dead did is not lost"
    assert found["bulkqa_worker_deaths_total",] >= 1
    assert sum(value for name, value in found.items() if name[0] == "bulkqa_worker_model_info") == 2
    assert list((running.folder / "counted").glob("bulkqa-metrics-*"))
    worker.terminate()
    assert worker.wait(30) == 0
    assert not list((running.folder / "counted").glob("bulkqa-metrics-*"))


def test_a_worker_that_restarts_goes_on_counting(running: Cluster, tmp_path: Path):
    port = _free_port()
    rows = write_rows(tmp_path / "rows.csv", 3, poison=(1,))
    poison = {"PYTHONPATH": str(REPO / "tests" / "acceptance" / "poison"), "POISON": "lost"}
    running.worker("--metrics-port", str(port), **poison, TMPDIR=str(tmp_path), POISON_MARK=str(tmp_path / "lost"))
    running.finish(running.submit(rows))
    assert "It restarts" in running.log()
    until(lambda: served(port), "the metrics of the worker")
    found = scraped(port)
    assert found["bulkqa_worker_attempts_total", "given_back"] == 1
    assert found["bulkqa_worker_attempts_total", "done"] == 1


def test_a_sweeper_counts_its_rounds_and_what_it_did(running: Cluster, tmp_path: Path):
    job = running.submit(write_rows(tmp_path / "rows.csv", 20), chunk_rows=10)
    port = _free_port()
    with sweeping(running, port):
        until(lambda: scraped(port)["bulkqa_sweeper_round_seconds_count",] >= 2, "two rounds")
        assert scraped(port)["bulkqa_sweeper_open_jobs",] == 1
        running.queue.forget(job)
        running.worker()
        until(lambda: records.report(running.storage, job), "the job's end")
        until(lambda: scraped(port)["bulkqa_sweeper_open_jobs",] == 0, "a round after it")
        assert scraped(port)["bulkqa_sweeper_failures_total", "storage"] == 0


def test_logs_as_json_say_in_fields_what_they_speak_of(running: Cluster, tmp_path: Path):
    worker = running.worker(BULKQA_LOG_FORMAT="json")
    job = running.submit(write_rows(tmp_path / "rows.csv", 20), chunk_rows=10)
    running.finish(job)
    names = {one.name for one in running.queue.workers()}
    assert end(worker) == 0
    lines = [json.loads(line) for line in running.log().splitlines()]  # all that it printed, until its end
    about = [(one["job"], one["chunk"], one["attempt"]) for one in lines if "rows in" in one["message"]]
    assert sorted(about) == [(job, 0, 1), (job, 1, 1)]
    assert {one["worker"] for one in lines if "chunk" in one} == names
    assert [one for one in lines if "warm in" in one["message"] and one["worker"] in names and "job" not in one]


def test_rules_and_dashboard_name_metrics_that_there_are(running: Cluster, tmp_path: Path):
    running.submit(write_rows(tmp_path / "rows.csv", 3))
    ports = _free_port(), _free_port()
    running.worker("--metrics-port", str(ports[0]), TMPDIR=str(tmp_path))
    bad = running.submit(REPO / "samples" / "bad_rows.csv")
    running.finish(bad)
    with serving(running) as client, sweeping(running, ports[1]):
        client.get("/healthz")
        texts = [client.get("/metrics").text, *(httpx.get(f"http://127.0.0.1:{port}/metrics").text for port in ports)]
    families = [family for text in texts for family in text_string_to_metric_families(text)]
    known = {family.name for family in families} | {one.name for family in families for one in family.samples}
    named = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]
    for text in named:
        assert set(re.findall(r"bulkqa_\w+", text)) <= known, text


def test_grafana_finds_the_dashboard_and_prometheus():
    compose = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]
    mounts = dict(one.split(":")[:2] for one in compose["grafana"]["volumes"] if one.startswith("."))
    assert all((REPO / here).exists() for here in mounts)
    folder = REPO / next(here for here, there in mounts.items() if there == "/etc/grafana/provisioning")
    source = yaml.safe_load((folder / "datasources" / "bulkqa.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
    provider = yaml.safe_load((folder / "dashboards" / "bulkqa.yml").read_text())["providers"][0]
    assert [there for there in mounts.values() if there.startswith(provider["options"]["path"])]
    targets = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    ports = {one["job_name"]: one for one in targets}
    for name in ("worker", "sweeper"):
        assert compose[name]["environment"]["BULKQA_METRICS_PORT"] == "9321"
        assert "9321" in json.dumps(ports[f"bulkqa-{name}"])


def test_every_alert_has_a_test_and_passes_it():
    command = [tool("promtool"), "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (MONITORING / "alerts_test.yml").read_text()
    assert [rule["alert"] for rule in RULES if f'"{rule["alert"]}"' not in text] == []


def test_a_prometheus_scrapes_server_workers_and_sweeper(running: Cluster, tmp_path: Path):
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(MONITORING / name, tmp_path)
    token = "of-this-test-alone-0123456789"  # noqa: S105
    (tmp_path / "token").write_text(token)
    ports = {"worker": _free_port(), "sweeper": _free_port()}
    running.worker("--metrics-port", str(ports["worker"]), TMPDIR=str(tmp_path))
    with serving(running, BULKQA_API_TOKEN=token) as client, sweeping(running, ports["sweeper"]):
        config = yaml.safe_load((tmp_path / "prometheus.yml").read_text().replace("15s", "1s"))
        jobs = {one["job_name"]: one for one in config["scrape_configs"]}
        jobs["bulkqa"]["authorization"]["credentials_file"] = str(tmp_path / "token")
        jobs["bulkqa"]["static_configs"] = [{"targets": [f"localhost:{client.base_url.port}"]}]
        del jobs["bulkqa-worker"]["dns_sd_configs"]  # there is no such name here
        for name, port in ports.items():
            jobs[f"bulkqa-{name}"]["static_configs"] = [{"targets": [f"localhost:{port}"]}]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        subprocess.run([tool("promtool"), "check", "config", "prometheus.yml"], cwd=tmp_path, check=True, timeout=60)
        socket = _free_port()
        command = [tool("prometheus"), "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{socket}"]
        log = (tmp_path / "prometheus.log").open("wb")
        with (
            log,
            subprocess.Popen([*command, "--storage.tsdb.path=data"], cwd=tmp_path, stdout=log, stderr=log) as server,
        ):
            try:
                until(lambda: _value(socket, "bulkqa_redis_up") == 1, "the scrape of the server")
                until(lambda: _value(socket, "bulkqa_worker_model_info") == 1, "the scrape of the worker")
                until(lambda: _value(socket, "bulkqa_sweeper_open_jobs") == 0, "the scrape of the sweeper")
            finally:
                server.terminate()


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _value(port: int, query: str) -> float | None:
    try:
        found = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}).json()["data"]["result"]
    except (httpx.HTTPError, ValueError, KeyError):
        return None
    return float(found[0]["value"][1]) if found else None
