"""What Prometheus is told: of real jobs, scraped by a real Prometheus; alerts and dashboard go with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.cluster import REPO, Cluster, until, write_rows
from tests.acceptance.serving import serving

MONITORING = REPO / "deploy" / "monitoring"
RULES = [rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((MONITORING / "dashboard.json").read_text())["panels"]


def scraped(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Samples by name and values of labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def test_a_job_is_seen_from_its_submission_to_its_end(running: Cluster, tmp_path: Path):
    job = running.submit(str(write_rows(tmp_path / "rows.csv", 30)), "--chunk-rows", "10")
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
    running.submit(str(write_rows(tmp_path / "rows.csv", 3)))
    with serving(running, BULKQA_REDIS_URL="redis://localhost:1/0") as client:
        found = scraped(client)
        assert found["bulkqa_redis_up",] == 0
        assert found["bulkqa_jobs_waiting", "redis_unreachable"] == 1
        assert not [name for name in found if name[0] == "bulkqa_workers"]


def test_rules_and_dashboard_name_metrics_that_there_are(running: Cluster, tmp_path: Path):
    running.submit(str(write_rows(tmp_path / "rows.csv", 3)))
    running.worker()
    running.ready()
    with serving(running) as client:
        client.get("/healthz")
        families = list(text_string_to_metric_families(client.get("/metrics").text))
    known = {family.name for family in families} | {one.name for family in families for one in family.samples}
    named = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]
    for text in named:
        assert set(re.findall(r"bulkqa_\w+", text)) <= known, text


def test_every_alert_has_a_test_and_passes_it():
    command = [tool("promtool"), "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (MONITORING / "alerts_test.yml").read_text()
    assert [rule["alert"] for rule in RULES if f'"{rule["alert"]}"' not in text] == []


def test_a_prometheus_scrapes_it(running: Cluster, tmp_path: Path):
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(MONITORING / name, tmp_path)
    with serving(running) as client:
        config = (tmp_path / "prometheus.yml").read_text()
        config = config.replace("serve:8321", f"localhost:{client.base_url.port}").replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(config)
        subprocess.run([tool("promtool"), "check", "config", "prometheus.yml"], cwd=tmp_path, check=True, timeout=60)
        socket = _free_port()
        command = [tool("prometheus"), "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{socket}"]
        log = (tmp_path / "prometheus.log").open("wb")
        with (
            log,
            subprocess.Popen([*command, "--storage.tsdb.path=data"], cwd=tmp_path, stdout=log, stderr=log) as server,
        ):
            try:
                until(lambda: _value(socket, "bulkqa_redis_up") == 1, "the scrape")
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
