"""A job through object storage: a real worker and the commands, over moto's S3."""

from __future__ import annotations

import json
import os

import pytest

from tests import s3
from tests.acceptance.cluster import write_rows
from tests.faults.broker import FaultyCluster

pytestmark = pytest.mark.timeout(150)


def test_a_job_through_s3(running: FaultyCluster, s3_endpoint: str) -> None:
    running.env |= s3.environment(s3_endpoint)
    running.env["BULKQA_STORAGE_URL"] = f"s3://{s3.BUCKET}/{os.urandom(6).hex()}"
    running.worker()
    job = running.submit(str(write_rows(running.folder / "in.csv", 60)))
    assert running.finish(job)["status"] == "completed", running.logs()
    verified = running.producer("verify", job, "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["checked"] == 60
    lines = running.producer("results", job, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["row"] for line in lines] == list(range(60))
    assert s3.SECRET not in running.log()
