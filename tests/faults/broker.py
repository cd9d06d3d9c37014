"""A Redis on TCP that can be killed, frozen and started again, and a proxy that does what networks do."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from producer.local import redis_executable
from tests.acceptance.cluster import Cluster, check, logs_shown, until, write_rows
from tests.s3 import free_port

ROWS = 90


class Broker:
    """One Redis on a port that stays its own. `aof` keeps what it holds over a restart."""

    def __init__(self, folder: Path, *options: str, aof: bool = True) -> None:
        self.folder, self.port, self.options = folder, free_port(), options
        self.aof = aof
        self.process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self, *more: str) -> None:
        command = [redis_executable(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--appendonly", "yes" if self.aof else "no", "--save", "", "--loglevel", "warning"]
        log = (self.folder / "redis.log").open("ab")
        with log:
            self.process = subprocess.Popen([*command, *self.options, *more], stdout=log, stderr=log)
        until(self.answers, "Redis to answer", 20)

    def answers(self) -> bool:
        once = Retry(NoBackoff(), 0)  # by default it is tried for four seconds, a refused password too
        with redis.Redis(port=self.port, retry=once) as client, contextlib.suppress(redis.ConnectionError):
            try:
                return bool(client.ping())
            except (redis.AuthenticationError, redis.ResponseError):
                return True
        return False

    def client(self, password: str | None = None) -> redis.Redis:
        return redis.Redis(port=self.port, password=password, decode_responses=True)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def restart(self, *more: str, pause: float = 0.5) -> None:
        self.kill()
        time.sleep(pause)
        self.start(*more)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


class Proxy:
    """Between clients and a server on 127.0.0.1. `mode`: pass; blackhole (nothing comes through, nothing is closed);
    refuse. `delay` is added to every piece."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.mode = "pass"
        self.delay = 0.0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection, as a firewall that restarts."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def half_open(self) -> None:
        """The server's side of every connection goes away and the client is not told until `told`."""
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            self._silent.add(client)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()

    def told(self) -> None:
        """What the kernel's keepalive says to the client of such a connection, after a minute."""
        for client in self._silent:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        for one in self._silent:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.mode == "refuse":
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, client), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self.mode == "blackhole":
                    time.sleep(0.02)
                if self.delay:
                    time.sleep(self.delay)
                if client not in self._silent:
                    sink.sendall(data)
        if client not in self._silent:
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()


@contextmanager
def faulty_cluster(folder: Path, *options: str, aof: bool = True, started: bool = True) -> Iterator[FaultyCluster]:
    with ExitStack() as resources:
        broker = Broker(folder, *options, aof=aof)
        resources.callback(broker.close)
        if started:
            broker.start()
        proxy = Proxy(broker.port)
        resources.callback(proxy.close)
        running = FaultyCluster(folder, broker, proxy, resources)
        resources.callback(running.queue.close)
        with logs_shown(running):
            yield running


class Commanded(Cluster):
    """Jobs are submitted and waited for by commands, each of which meets the faults anew."""

    def submit(self, *arguments: str) -> str:
        done = self.producer("submit", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def finish(self, job: str, seconds: float = 90.0) -> dict[str, Any]:
        done = self.producer("status", job, "--watch", "--json", "--timeout", str(seconds), timeout=seconds + 30)
        assert done.returncode in (0, 3, 4, 5), done.stderr + self.logs()
        return dict(json.loads(done.stdout))


class FaultyCluster(Commanded):
    """Workers reach Redis through the proxy, the test and its commands without."""

    def __init__(self, folder: Path, broker: Broker, proxy: Proxy, resources: ExitStack) -> None:
        super().__init__(folder, broker.url, resources)
        self.broker, self.proxy = broker, proxy
        self.env |= {"BULKQA_LEASE": "4", "BULKQA_CHUNK_ROWS": "15"}

    def worker(self, *arguments: str, **options):  # type: ignore[no-untyped-def]
        given = {"BULKQA_REDIS_URL": self.proxy.url} | {k: v for k, v in options.items() if k != "threads"}
        return super().worker(*arguments, threads=options.get("threads", 1), **given)

    def submit_rows(self, rows: int = ROWS) -> str:
        return self.submit(str(write_rows(self.folder / "in.csv", rows)))

    def ends_well(self, job: str, rows: int = ROWS) -> None:
        assert self.finish(job, seconds=120)["status"] == "completed", self.logs()
        check(self, job, rows)
