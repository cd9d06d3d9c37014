"""The backend of a machine that shares nothing with the workers: a `producer serve` elsewhere does what is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

import httpx
import httpx_sse

from contract.errors import BulkqaError, UnknownJob, Unreachable, UsageError
from contract.format import codec
from contract.format.job import Manifest, read_manifest
from contract.ledger.progress import Progress
from contract.notifications.record import Notification
from contract.queue import WorkerInfo
from producer.backend.protocol import Listed, Reading
from producer.backend.responses import address, error_of, whole_lines
from producer.input.files import files_of
from producer.input.options import checked
from producer.input.raw import RawFile, refuse_url
from producer.jobs import diff_document
from producer.jobs.diff_document import Summary
from producer.jobs.follow import TimedOut
from producer.jobs.select import JobFilter
from producer.jobs.submit import File, Submitted
from producer.request import Request
from producer.results import columns

T = TypeVar("T")

#: Seconds in which a connection is made; and a word of the server comes, unless it reads a file or tells of changes.
_CONNECT, _ANSWER = 10.0, 60.0
#: Seconds that reading a file may take: as long as a server lets it.
_READING = 1000.0
#: Seconds of silence after which who follows a job asks anew; the server tells where it stands every two.
_SILENCE = 20.0
#: Seconds for which who follows a job waits for a server that has gone.
_AWAY = 60.0
#: Jobs of a list that is asked for as a whole.
_ALL = 100_000
#: How often a request that comes too early is sent again.
_TRIES = 4


class HttpBackend:
    """See `producer.backend.protocol.Backend`. Raises UsageError for an address that is none."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = address(url)
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(_ANSWER, connect=_CONNECT),
        )

    def submit(self, file: File, request: Request, progress: Callable[[Reading], None] | None = None) -> Submitted:
        refuse_url(file)
        if files_of(file) is not None:
            raise UsageError(
                f"{file} is several files, and a server is sent one",
                "Submit them one by one, or write them as one Parquet file.",
            )
        with ExitStack() as resources:
            sent = _Sent(RawFile(file, resources), progress)
            files = {"file": (sent.name, cast(Any, sent))}
            if request.columns:
                files["columns"] = ("columns.arrow", request.columns.to_bytes())
            job, new = self._ask(
                "POST", "/v1/jobs", lambda said: (said.json()["id"], said.status_code == httpx.codes.ACCEPTED),
                data=_form(request), files=files, timeout=httpx.Timeout(_READING, connect=_CONNECT),
            )  # fmt: skip
        return Submitted(self.manifest(job), new)

    def find(self, job: str) -> str:
        return self.status(job).id

    def manifest(self, job: str) -> Manifest:
        return self._ask("GET", f"/v1/jobs/{_part(job)}/manifest", lambda said: read_manifest(said.content))

    def status(self, job: str, *, reason: bool = True) -> Progress:
        return self._ask("GET", f"/v1/jobs/{_part(job)}", lambda said: self._progress(said.json()))

    def _progress(self, said: dict[str, Any]) -> Progress:
        """Where a job stands, with the addresses of its outputs as seen from here."""
        for name in ("output_uri", "error_uri"):
            said[name] = said[name] and f"{self.url}{said[name]}"
        return codec.parse(Progress, said)

    def follow(self, job: str, timeout: float | None = None) -> Iterator[Progress]:
        """See the protocol. A server that goes is waited for, for a minute."""
        ends = None if timeout is None else time.monotonic() + timeout
        latest, heard = self.status(job), time.monotonic()
        yield latest
        while not latest.finished:
            left = _SILENCE if ends is None else ends - time.monotonic()
            if left <= 0:
                raise TimedOut(latest)
            try:
                for latest in self._told(job, min(left, _SILENCE)):
                    heard = time.monotonic()
                    yield latest
                    if not latest.finished and ends is not None and heard > ends:
                        raise TimedOut(latest)
            except _Gone:
                if time.monotonic() - heard > _AWAY:
                    raise
                time.sleep(min(1.0, max(0.0, left)))

    def _told(self, job: str, silence: float) -> Iterator[Progress]:
        """Where a job stands, as the server tells it, until nothing comes for so many seconds. Raises _Gone."""
        path, timeout = f"/v1/jobs/{_part(job)}/events", httpx.Timeout(_CONNECT, read=silence)
        with self._answer("GET", path, timeout=timeout) as answer, suppress(httpx.ReadTimeout):
            for event in httpx_sse.EventSource(answer).iter_sse():
                if event.event == "trouble":
                    raise error_of(json.loads(event.data))
                yield self._progress(event.json())

    def jobs(self, wanted: JobFilter) -> Listed:
        asked = {
            "status": list(wanted.status),
            "since": wanted.since,
            "model": wanted.model,
            "metadata": [f"{name}={value}" for name, value in wanted.metadata.items()],
            "sort": wanted.sort,
            "reverse": wanted.reverse,
            "limit": wanted.limit or _ALL,
        }
        return self._ask("GET", "/v1/jobs", self._listed, params={k: v for k, v in asked.items() if v is not None})

    def _listed(self, answer: httpx.Response) -> Listed:
        said = answer.json()
        damaged = {one["id"]: one["message"] for one in said["damaged"]}
        return Listed([self._progress(one) for one in said["jobs"]], damaged)

    def ids(self, limit: int | None) -> list[str]:
        return [] if limit == 0 else [one.id for one in self.jobs(JobFilter(limit=limit)).jobs]

    def lines(self, job: str, *, wait: Callable[[], bool] | None = None) -> Iterator[bytes]:
        given, more = 0, True
        while more:
            more = bool(wait and wait())  # before it is asked: what is there once the job has ended is all
            asked = {"format": "jsonl", "offset": given}
            with self._answer("GET", f"/v1/jobs/{_part(job)}/results", params=asked) as answer:
                for block in whole_lines(answer.iter_bytes()):
                    given += block.count(b"\n")
                    yield block

    def columns(self, job: str) -> columns.InputColumns | None:
        manifest = self.manifest(job)
        if not manifest.columns_sha256:
            return None
        path = f"/v1/jobs/{_part(job)}/columns"
        return columns.parsed(self._ask("GET", path, lambda said: said.content), manifest, f"{self.url}{path}")

    def errors(self, job: str) -> Iterator[bytes] | None:
        return self._blocks(f"/v1/jobs/{_part(job)}/errors") if self.status(job).error_uri else None

    def _blocks(self, path: str) -> Iterator[bytes]:
        with self._answer("GET", path) as answer:
            yield from answer.iter_bytes()

    def cancel(self, job: str) -> None:
        self._ask("POST", f"/v1/jobs/{_part(job)}/cancel", httpx.Response.json)

    def delete(self, job: str, *, cancel: bool = False, force: bool = False) -> tuple[str, int]:
        if force:
            raise UsageError(
                "a server removes no job as it is", "Remove it where its storage is: --storage URL --force"
            )
        asked = {"cancel": True} if cancel else {}
        path = f"/v1/jobs/{_part(job)}"
        return self._ask("DELETE", path, lambda said: (said.json()["job"], said.json()["bytes"]), params=asked)

    def diff(self, first: str, second: str, summary: Summary, *, by_id: bool = False) -> Iterator[dict[str, Any]]:
        asked = {"with": second, "by": "id" if by_id else "row"}
        with self._answer("GET", f"/v1/jobs/{_part(first)}/diff", params=asked) as answer:
            yield from diff_document.read(
                (line for block in whole_lines(answer.iter_bytes()) for line in block.splitlines()), summary
            )

    def notification(self, job: str) -> Notification:
        path = f"/v1/jobs/{_part(job)}/notifications"
        return self._ask("GET", path, lambda said: codec.read(Notification, said.content))

    def workers(self) -> list[WorkerInfo]:
        return self._ask("GET", "/v1/workers", lambda said: codec.read(list[WorkerInfo], said.content))

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, of: Callable[[httpx.Response], T], **given: Any) -> T:
        """What is made of the whole answer to a request."""
        with self._answer(method, path, **given) as answer:
            answer.read()
            return of(answer)

    @contextmanager
    def _answer(self, method: str, path: str, **given: Any) -> Iterator[httpx.Response]:
        """The answer to a request, its body yet to be read. Raises what the server says of it, and _Gone."""
        if self._client.is_closed:
            raise UsageError("this client is closed", "Make another.")
        try:
            with self._sent(method, path, **given) as answer:
                yield answer
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _Gone(
                f"{self.url} does not answer: {error or type(error).__name__}",
                "Is `producer serve` there, and is this its address (--server, BULKQA_SERVER)?",
            ) from error
        except (ValueError, KeyError, TypeError, httpx_sse.SSEError) as error:
            raise self._foreign() from error

    @contextmanager
    def _sent(self, method: str, path: str, **given: Any) -> Iterator[httpx.Response]:
        for tries in range(_TRIES):
            with self._client.stream(method, path, **given) as answer:
                if answer.is_success:
                    yield answer
                    return
                answer.read()
                after = answer.headers.get("Retry-After", "")
                refusal = self._refusal(answer)
            early = answer.status_code == httpx.codes.TOO_MANY_REQUESTS and method == "GET" and after.isdigit()
            if not early or tries + 1 == _TRIES:
                raise refusal
            time.sleep(int(after))

    def _refusal(self, answer: httpx.Response) -> BulkqaError:
        if not answer.headers.get("content-type", "").startswith("application/problem+json"):
            return self._foreign(f", but {answer.status_code}")
        return error_of(answer.json())

    def _foreign(self, what: str = "") -> BulkqaError:
        return UsageError(
            f"{self.url} does not answer as bulkqa {_version()} does{what}",
            "Is this the address of `producer serve`, and is it of the same version? --server, BULKQA_SERVER",
        )


class _Gone(Unreachable):
    """The server does not answer, or stopped in the middle of it."""


class _Sent:
    """An input as the body of a request: it counts what was read of it, and is never held as a whole."""

    def __init__(self, stored: RawFile, progress: Callable[[Reading], None] | None) -> None:
        self.name = stored.name
        self._stored = stored
        self._progress = progress

    def fileno(self) -> int:
        """For its size. Raises OSError for what has none."""
        return self._stored.fileno()

    def read(self, count: int) -> bytes:
        """The next bytes; none at the end."""
        data = self._stored.read(count)
        if self._progress:
            self._progress(self._stored)
        return data


def _form(request: Request) -> dict[str, str]:
    """What is asked for beside the file, as the fields of a form: what is not asked for is the server's to choose."""
    request = replace(request, read=checked(request.read))
    return {option.name: _text(value) for option, value in request.given() if not option.local}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | dict) else str(value)


def _part(job: str) -> str:
    """A job as a part of a path. Raises UnknownJob for what can be none."""
    if not job or not all(c.isalnum() or c in "-_" for c in job):
        raise UnknownJob(f"{job!r} is not a job id", "List the jobs with: producer list")
    return job


def _version() -> str:
    from importlib.metadata import version

    return version("bulkqa")
