"""The OpenAPI document: what there is does as it says, and a client that was generated from it talks to the server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.ledger import records
from tests.acceptance.cluster import Cluster, until, write_rows
from tests.acceptance.serving import serving

#: Runs on what the document allows and what it does not; the same each time, so that a failure is one for everybody.
#: Without the phase `coverage`: values nested deeply end the tool itself there (in ast of Python 3.11).
_EXPLORE = ("--phases", "fuzzing,stateful", "--max-examples", "20", "--generation-deterministic", "--workers", "2")
_CLIENT = """
import sys
from io import BytesIO
from bulkqa_client import Client
from bulkqa_client.api.answers import answer
from bulkqa_client.api.jobs import list_jobs, rows, status, submit
from bulkqa_client.models import Asked, SubmitFilesBody
from bulkqa_client.types import File

with Client(base_url=sys.argv[1], raise_on_unexpected_status=True) as client:
    file = File(payload=open(sys.argv[2], "rb"), file_name="rows.csv")
    made = submit.sync_detailed(client=client, body=SubmitFilesBody(file=file))
    assert made.status_code == 202, made
    (job,) = [one["id"] for one in list_jobs.sync(client=client).to_dict()["jobs"]]
    print(job, status.sync(job, client=client).to_dict()["request_counts"]["total"])
"""


def test_no_request_that_the_document_allows_or_forbids_breaks_the_server(running: Cluster, tmp_path: Path):
    """Schemathesis: nothing but what is documented comes back, and no 5xx. That what fits the schema is accepted is not
    asked: a file is read before it is."""
    tool = Path(sys.executable).with_name("schemathesis")
    if not tool.exists():
        pytest.skip("schemathesis is not installed: extra [e2e]")
    running.worker()
    running.ready()
    with serving(running, BULKQA_API_REQUESTS="100000") as client:
        job = client.post("/v1/jobs", files={"file": write_rows(tmp_path / "rows.csv", 5).read_bytes()}).json()["id"]
        until(lambda: records.report(running.storage, job), "the job's end")
        command = [tool, "run", f"{client.base_url}/openapi.json", *_EXPLORE, "--exclude-path-regex", "/events$"]
        command += ["--exclude-checks", "positive_data_acceptance", "--no-color"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
        assert re.search(r"[1-9]\d+ generated, \d+ passed", done.stdout)


def test_a_client_that_is_generated_from_it_works(running: Cluster, tmp_path: Path):
    tool = shutil.which("openapi-python-client")  # a tool with an environment of its own, whose packages are not ours
    if not tool:
        pytest.skip("openapi-python-client is not installed")
    with serving(running) as client:
        (tmp_path / "openapi.json").write_bytes(client.get("/openapi.json").content)
        (tmp_path / "config.yaml").write_text("post_hooks: []\npackage_name_override: bulkqa_client\n")
        command = [tool, "generate", "--path", "openapi.json", "--config", "config.yaml"]
        command += ["--output-path", "bulkqa_client", "--meta", "none"]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        rows = write_rows(tmp_path / "rows.csv", 3)
        command = [sys.executable, "-c", _CLIENT, str(client.base_url), str(rows)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[1] == "3"
        assert records.jobs(running.storage) == [done.stdout.split()[0]]
