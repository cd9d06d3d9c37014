"""A Redis behind TLS whose users have rights: jobs work, a refusal is told with a remedy, nothing shows a password."""

from __future__ import annotations

import json
import re
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import redis

from contract.queue.app import make_app
from contract.queue.redis import RedisQueue
from tests.acceptance.cluster import REPO, Cluster, child_of, end, kill, logs_shown, until, write_rows
from tests.acceptance.cluster import check as check_job
from tests.faults.broker import Broker, Commanded, free_port
from tests.faults.tls import Authority, TlsFront

pytestmark = pytest.mark.timeout(170)

#: What is found anywhere but in the environment is a leak. The rest of the password has to be escaped in a URL.
MARK = secrets.token_hex(8)
PASSWORD = f"p/{MARK}#@%"
#: The rights that SECURITY.md says are enough.
RIGHTS = re.search(r"user bulkqa on >PASSWORD (.*)", (REPO / "SECURITY.md").read_text())[1]  # type: ignore[index]


class Secured(Commanded):
    """All reach Redis through TLS, as the user with the least rights."""

    def __init__(self, folder: Path, resources: ExitStack) -> None:
        users = folder / "users.acl"
        users.write_text(
            f"user default off\nuser admin on >admin ~* &* +@all\nuser bulkqa on >{PASSWORD} {RIGHTS}\n"
            f"user reader on >{PASSWORD} ~* +@read +@connection\nuser other on >{PASSWORD} ~other:* +@all\n"
        )
        self.broker = Broker(folder, "--aclfile", str(users))
        resources.callback(self.broker.close)
        self.broker.start()
        self.authority = Authority.make(folder, "ours")
        self.front = resources.enter_context(closing(TlsFront(self.broker.port, self.authority.chain)))
        super().__init__(folder, self.url(), resources)
        resources.callback(self.queue.close)
        self.env |= {"BULKQA_CHUNK_ROWS": "15", "BULKQA_LEASE": "4"}
        self.admin = redis.Redis.from_url(f"redis://admin:admin@127.0.0.1:{self.broker.port}", decode_responses=True)
        resources.callback(self.admin.close)

    def url(self, user: str = "bulkqa", password: str = PASSWORD, port: int = 0, query: str | None = None) -> str:
        query = f"?ssl_cert_reqs=required&ssl_ca_certs={self.authority.ca}" if query is None else query
        return f"rediss://{user}:{quote(password, safe='')}@127.0.0.1:{port or self.front.port}/0{query}"

    def file(self, rows: int = 60) -> str:
        return str(write_rows(self.folder / f"{rows}.csv", rows))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Secured]:
    with secured(tmp_path) as running:
        yield running


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    with ExitStack() as resources:
        running = Secured(folder, resources)
        with logs_shown(running):
            yield running


def command_lines() -> str:
    """What `ps` shows of every process."""
    found = []
    for process in psutil.process_iter():
        try:
            found += process.cmdline()
        except psutil.Error:
            continue
    return "\0".join(found)


def test_jobs_with_the_least_rights_and_no_password_in_sight(running: Secured) -> None:
    worker = running.worker(BULKQA_LOG_LEVEL="DEBUG")
    running.ready()
    said = [running.producer("submit", running.file())]
    job = said[0].stdout.strip()
    said.append(running.producer("status", job, "--watch", "--json"))
    assert json.loads(said[-1].stdout)["status"] == "completed", said
    check_job(running, job, 60)
    assert "-m\0worker\0start" in command_lines()
    assert MARK not in command_lines()

    # A worker that is told to stop in the middle gives its chunk back; one that is killed has it redelivered.
    long = running.submit(running.file(450))
    running.await_parts(long, 1)
    assert end(worker, signal.SIGTERM) == 0
    killed = running.worker()
    parts = running.parts(long)
    running.await_parts(long, parts + 1)
    index = f"{running.prefix}unacked_index"
    held = until(lambda: running.admin.zrange(index, 0, -1), "a message to be under way")
    kill(killed)
    running.admin.zadd(index, dict.fromkeys(held, 1), xx=True)  # as if delivered long ago
    running.worker()
    until(lambda: not any(running.admin.zmscore(index, held)), "redelivery")
    said += [running.producer("repair", long), running.producer("status", long), running.producer("cancel", long)]
    assert running.finish(long)["status"] in ("cancelled", "completed")
    said += [running.producer("verify", one) for one in (job, long)]
    assert [one.returncode for one in said] == [0] * len(said), said

    shown = running.logs() + "".join(one.stdout + one.stderr for one in said)
    assert MARK not in shown + command_lines()
    assert "Traceback" not in shown
    # Older servers know no `client setinfo`, and refuse it under another name; redis-py passes over that.
    assert {entry["object"] for entry in running.admin.acl_log()} <= {"client", "client|setinfo"}


@pytest.mark.parametrize("why", ["another authority", "no authority named", "another host"])
def test_a_server_that_cannot_be_verified_hears_no_password(running: Secured, why: str) -> None:
    other = Authority.make(running.folder, "other", host="127.0.0.2")
    with closing(TlsFront(running.broker.port, other.chain)) as front:
        query = {"no authority named": "", "another host": f"?ssl_ca_certs={other.ca}"}.get(why)
        told = running.env | {"BULKQA_REDIS_URL": running.url(port=front.port, query=query)}
        refused = running.producer("submit", running.file(), env=told)
        assert refused.returncode == 6
        assert_told(refused.stderr, "CERTIFICATE_VERIFY_FAILED", "ssl_ca_certs=FILE")
        assert len(refused.stderr.strip().splitlines()) == 2
        running.worker(BULKQA_REDIS_URL=told["BULKQA_REDIS_URL"])
        until(lambda: front.heard or "consumer: Cannot connect" in running.log(), "a word of Celery's")
        until(lambda: "ssl_ca_certs=FILE" in running.log(), "a word of ours")
        assert_told(running.log(), "CERTIFICATE_VERIFY_FAILED", "ssl_ca_certs=FILE")
        assert front.heard == b""


@pytest.mark.parametrize(
    ("user", "password", "reason", "remedy"),
    [
        ("bulkqa", f"wrong-{MARK}", "invalid username-password pair", "Put user and password"),
        ("reader", PASSWORD, "no permissions to run the", "Give the user in BULKQA_REDIS_URL the permissions"),
        ("other", PASSWORD, "permissions to access", "Give the user in BULKQA_REDIS_URL the permissions"),
    ],
    ids=["wrong password", "only reads", "other keys"],
)
def test_a_refusal_is_told_with_a_remedy_and_a_worker_waits_for_its_end(
    running: Secured, user: str, password: str, reason: str, remedy: str
) -> None:
    url = running.url(user, password)
    refused = running.producer("submit", running.file(), env=running.env | {"BULKQA_REDIS_URL": url})
    assert refused.returncode == 6
    assert_told(refused.stderr, reason, remedy)
    assert len(refused.stderr.strip().splitlines()) == 2
    worker = running.worker(BULKQA_REDIS_URL=url)
    until(lambda: remedy in running.log() and "consumer: Cannot connect" in running.log(), "its words")
    assert_told(running.log(), reason, remedy)
    assert MARK not in command_lines()
    running.admin.execute_command("ACL", "SETUSER", user, "reset", "on", f">{password}", *RIGHTS.split())
    running.env |= {"BULKQA_REDIS_URL": url}
    job = running.submit(running.file(30))
    assert running.finish(job)["status"] == "completed"
    check_job(running, job, 30)
    assert worker.poll() is None
    assert_told(running.log(), reason, remedy)


def assert_told(shown: str, reason: str, remedy: str) -> None:
    assert reason in shown
    assert remedy in shown
    assert "Traceback" not in shown
    assert MARK not in shown


def test_what_is_wrong_with_a_url_is_told_by_a_worker_too(tmp_path: Path) -> None:
    with ExitStack() as resources:
        running = Cluster(tmp_path, f"redis://127.0.0.1:{free_port()}/0", resources)
        resources.callback(running.queue.close)
        for url in (f"rediss://u:{MARK}@127.0.0.1/0?ssl_ca_cert=x", f"redis://u:{MARK}#@127.0.0.1/0"):
            worker = running.worker(BULKQA_REDIS_URL=url)
            assert worker.wait(60) == 2
            assert running.log(len(running.workers) - 1).startswith("worker: BULKQA_REDIS_URL")
        assert_told(running.logs(), "unknown options after rediss://127.0.0.1/0", "%2F %23")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux alone shows the timers of sockets")
def test_the_kernel_watches_over_every_connection_of_a_worker(running: Secured) -> None:
    """A connection is looked at after 30 idle seconds, not after the two hours of the system."""
    worker = running.worker()
    running.ready()
    processes = [psutil.Process(worker.pid), child_of(worker)]
    job = running.submit(running.file(15))
    assert running.finish(job)["status"] == "completed"  # by now each has the connections that it needs

    def timers() -> list[tuple[int, int]]:
        """Of every connection to Redis: which timer runs (2 is that of keepalive) and how many ticks are left of it."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        by_port = {int(row[1].partition(":")[2], 16): row[5].split(":") for row in rows}
        connections = [one for process in processes for one in process.net_connections("tcp") if one.raddr]
        ports = [one.laddr.port for one in connections if one.raddr.port == running.front.port]
        return [(int(by_port[port][0], 16), int(by_port[port][1], 16)) for port in ports]

    # While bytes are under way another timer runs, so it is looked at until none are.
    found = until(lambda: (now := timers()) and all(timer == 2 for timer, _ in now) and now, "quiet connections")
    assert len(found) >= 2
    assert all(ticks <= 30 * 100 for _, ticks in found)  # USER_HZ is 100 on every Linux


def test_options_reach_the_sockets_of_celery_and_of_our_client(running: Secured) -> None:
    url = running.url()
    with (
        closing(make_app(url, "test")) as app,
        closing(RedisQueue(url, "test")) as queue,
        app.connection() as connection,
    ):
        celery = connection.default_channel.client.connection_pool.get_connection()
        ours = queue._redis.connection_pool.get_connection()
        for one, timeout in ((celery, 30), (ours, 10)):
            options = [
                one._sock.getsockopt(level, name)
                for level, name in (
                    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                )
            ]
            assert options == [1, 30, 10, 3]
            assert one._sock.gettimeout() == timeout
            one.disconnect()
        assert celery.health_check_interval == 15
