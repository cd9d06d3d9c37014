"""The container files keep their promises. No container engine is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from contract import SHIPPED_MODEL
from contract.settings import Settings
from producer.local import redis_executable
from tests.acceptance.cluster import until

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
OURS = ("worker", "sweeper", "producer")


def seconds(duration: str) -> int:
    assert re.fullmatch(r"\d+s", duration), duration
    return int(duration[:-1])


def instructions(target: str | None = None) -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, continued lines joined; of one stage, if it is named."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    every = [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]
    if target is None:
        return every  # type: ignore[return-value]
    stage, found = "", []
    for name, rest in every:
        if name == "FROM":
            stage = rest.split(" AS ")[1]
        if stage == target:
            found.append((name, rest))
    return found


def test_worker_can_be_scaled() -> None:
    worker = SERVICES["worker"]
    assert not {"container_name", "ports", "hostname"} & worker.keys()
    assert worker["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_but_what_is_for_people_and_that_on_this_host(name: str) -> None:
    ports = {"serve": 8321, "prometheus": 9090, "grafana": 3000}
    expected = [f"${{{name.upper()}_ADDRESS:-127.0.0.1:{ports[name]}}}:{ports[name]}"] if name in ports else []
    assert SERVICES[name].get("ports", []) == expected
    assert SERVICES[name].get("network_mode") != "host"


def test_the_server_is_of_the_producer_image_and_keeps_uploads_off_memory() -> None:
    serve = SERVICES["serve"]
    assert serve["profiles"] == ["web"]
    assert serve["image"] == SERVICES["producer"]["image"]
    assert f"{serve['environment']['TMPDIR']}" in {volume.partition(":")[2] for volume in serve["volumes"]}


@pytest.mark.parametrize("name", SERVICES)
def test_bounded_and_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", ["redis", "s3", "worker", "sweeper", "serve"])
def test_what_runs_for_long_is_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "grafana"])
def test_the_root_of_a_container_is_read_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True


@pytest.mark.parametrize("name", ["worker", "sweeper"])
def test_stops_in_peace(name: str) -> None:
    assert SERVICES[name]["init"] is True
    assert seconds(SERVICES[name]["stop_grace_period"]) >= 40


def test_redis_keeps_messages_and_refuses_rather_than_drops() -> None:
    service = SERVICES["redis"]
    script = service["command"][-1]
    for line in ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"):
        assert line in script
    assert "redis:/data" in service["volumes"]
    assert (service["image"], service["user"]) == ("${REDIS_IMAGE:-valkey/valkey:9}", "${REDIS_USER:-valkey}")


@pytest.mark.parametrize("place", ["compose", "kubernetes"])
def test_it_starts_on_what_redis_8_left_in_its_volume(place: str, tmp_path: Path) -> None:
    """By the script of the file itself. The AOF of a Redis 8 begins with a snapshot in a format that Valkey refuses."""
    left = tmp_path / "data" / "appendonlydir"
    left.mkdir(parents=True)
    (left / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS0012" + b"\xff" + bytes(8))
    (left / "appendonly.aof.1.incr.aof").write_bytes(b"")
    (left / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    manifests = (ROOT / "deploy" / "kubernetes" / "trial" / "redis.yaml").read_text("utf-8")
    (pod,) = (each for each in yaml.safe_load_all(manifests) if each["kind"] == "StatefulSet")
    container = SERVICES["redis"] if place == "compose" else pod["spec"]["template"]["spec"]["containers"][0]
    script = re.sub(r"(?<!\$)\$\{\w+:-(\w*)\}", r"\1", container["command"][-1]).replace("$$", "$")
    socket = Path(tempfile.mkdtemp(prefix="bqa-", dir="/tmp")) / "redis.sock"
    script = script.replace("valkey-server", redis_executable(tmp_path))
    script = script.replace("dir /data", f"dir {tmp_path / 'data'}\nport 0\nunixsocket {socket}")
    with subprocess.Popen(["sh", "-c", script], env=os.environ | {"REDIS_PASSWORD": "secret"}) as server:
        try:
            until(lambda: socket.exists() or server.poll() is not None, "the socket")
            with redis.Redis(unix_socket_path=str(socket), password="secret") as client:  # noqa: S106
                assert client.ping()
                assert client.config_get("maxmemory") == {"maxmemory": str(256 << 20)}
        finally:
            server.terminate()
            shutil.rmtree(socket.parent)


@pytest.mark.parametrize("name", ["redis", "s3", "prometheus", "grafana"])
def test_an_image_of_others_has_a_version_and_does_not_run_as_root(name: str) -> None:
    assert re.search(r":v?\d", SERVICES[name]["image"])
    assert SERVICES[name]["user"] not in ("root", "0")


def test_the_object_store_is_the_one_of_the_guide() -> None:
    guide = (ROOT / "docs" / "compose.md").read_text("utf-8")
    (bucket,) = re.findall(r"BULKQA_STORAGE_URL=s3://(\w+)/", guide)
    (port,) = re.findall(r"AWS_ENDPOINT_URL=http://s3:(\d+)", guide)
    assert f"-bucket={bucket}" in SERVICES["s3"]["command"]
    assert f":{port}/" in SERVICES["s3"]["healthcheck"]["test"][-1]
    assert "-master.telemetry=false" in SERVICES["s3"]["command"]


def test_no_password_in_an_argument_list() -> None:
    for service in SERVICES.values():
        said = " ".join([*map(str, service.get("command", [])), *service.get("healthcheck", {}).get("test", [])])
        # A doubled $ is the shell's, in the container; a single one is put in by compose, for everyone to see.
        assert not re.search(r"(?<!\$)\$\{?REDIS_PASSWORD", said)
    assert "--requirepass" not in COMPOSE.read_text("utf-8")


@pytest.mark.parametrize("name", OURS)
def test_all_share_one_storage_and_wait_for_redis(name: str) -> None:
    service = SERVICES[name]
    assert "storage:/storage" in service["volumes"]
    assert "BULKQA_STORAGE_URL=/storage" in dict(instructions("runtime"))["ENV"]
    assert "BULKQA_STORAGE_URL" not in service["environment"], "it would win over that of storage.env"
    assert service["env_file"] == [{"path": "storage.env", "required": False}]
    assert service["depends_on"]["redis"]["condition"] == "service_healthy"


def test_sweeper_runs_from_the_worker_image_which_is_built_once() -> None:
    assert SERVICES["sweeper"]["image"] == SERVICES["worker"]["image"]
    assert "build" not in SERVICES["sweeper"]
    assert SERVICES["sweeper"]["pull_policy"] == "never"


def test_producer_is_a_command() -> None:
    producer = SERVICES["producer"]
    assert producer["profiles"]
    assert "restart" not in producer
    inputs = [volume for volume in producer["volumes"] if "/data" in volume]
    assert all(volume.endswith(":ro") for volume in inputs)


@pytest.mark.parametrize("target", ["producer", "worker"])
def test_images_do_not_run_as_root(target: str) -> None:
    users = [rest for name, rest in instructions(target) if name == "USER"]
    assert users
    assert users[-1].split(":")[0].isdigit(), "numeric, so that Kubernetes can tell"
    assert users[-1].split(":")[0] != "0"
    assert "-o bulkqa -g bulkqa /storage" in dict(instructions("runtime"))["RUN"]


def test_compose_builds_targets_that_exist() -> None:
    stages = {rest.split(" AS ")[1] for name, rest in instructions() if name == "FROM"}
    for name in ("worker", "producer", "serve"):
        assert SERVICES[name]["build"]["target"] in stages


def test_dependencies_are_installed_before_the_code_is_copied() -> None:
    for target in ("producer-deps", "worker-deps"):
        copied = [rest for name, rest in instructions(target) if name == "COPY"]
        assert copied == [f"requirements/{target.removesuffix('-deps')}.txt /lists/"]


@pytest.mark.parametrize(
    ("image", "extras"), [("producer", ["web", "cloud"]), ("worker", ["worker", "notify", "cloud"])]
)
def test_the_lock_of_an_image_has_what_it_needs_and_hashes_for_all(image: str, extras: list[str]) -> None:
    listed = (ROOT / "requirements" / f"{image}.txt").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    names = {re.split(r"[^\w.-]", one)[0] for one in wanted}
    pinned = re.findall(r"^([\w.-]+)(?:\[.*?\])?==", listed, re.MULTILINE)
    assert names <= set(pinned)
    assert len(pinned) == len(re.findall(r"^\S.*\\\n +--hash=sha256:", listed, re.MULTILINE))
    assert "--require-hashes" in dict(instructions(f"{image}-deps"))["RUN"]


def test_what_the_dockerfile_copies_is_in_the_context_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        re.sub(r"\[(.)\]", r"\1", word.split("/")[0])
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
        if not word.startswith("--")
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_worker_image_holds_the_shipped_model_and_stays_offline() -> None:
    worker = dict(instructions("worker"))
    assert worker["ARG"] == f"MODEL={SHIPPED_MODEL}"
    for setting in ("BULKQA_MODEL_DIR=/models/${MODEL}", "BULKQA_LOG_FORMAT=json", "HF_HUB_OFFLINE=1"):
        assert setting in worker["ENV"]
    assert (ROOT / "models" / SHIPPED_MODEL / "reader.json").exists()
    assert SERVICES["worker"]["build"]["args"]["MODEL"] == f"${{BULKQA_MODEL:-{SHIPPED_MODEL}}}"


@pytest.mark.parametrize("path", [COMPOSE, ROOT / ".env.example", ROOT / "Dockerfile"], ids=lambda p: p.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    known = {f"BULKQA_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bBULKQA_[A-Z_]*[A-Z]", path.read_text("utf-8"))) <= known


def test_every_variable_of_compose_has_a_default_and_an_example() -> None:
    used = re.findall(r"(?<!\$)\$\{([A-Z_]+)(:-)?([^}]*)\}", COMPOSE.read_text("utf-8"))
    assert all(dash for _, dash, _ in used), "compose would warn where .env does not set it"
    examples = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
    assert examples == {name: default for name, _, default in used}


def test_defaults_of_compose_are_those_of_the_settings() -> None:
    for name, default in re.findall(r"\$\{BULKQA_([A-Z_]+):-([^}]*)\}", COMPOSE.read_text("utf-8")):
        assert default == str(Settings.model_fields[name.lower()].default)
