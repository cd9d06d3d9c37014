"""The backend of a machine that shares nothing with the workers: it sends everything to a `producer serve`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any, TypeVar, cast

import httpx
import httpx_sse

from contract.errors import BulkqaError, UnknownJob, Unreachable, UsageError
from contract.format import codec
from contract.format.documents import Document
from contract.format.job import Manifest, read_manifest
from contract.ledger import reasons
from contract.ledger.progress import Progress
from contract.notifications.record import Notification
from contract.queue import WorkerInfo
from contract.remedy import LIST_JOBS
from producer import web
from producer.backend.protocol import Listed, Reading
from producer.backend.responses import address, error_of, listed_of, progress_of, whole_lines
from producer.backend.sending import Upload, form_of, locations_of
from producer.forecast.quote import Quote, Wish
from producer.input.checks.pairs import Pair
from producer.input.location import InputSpec, One
from producer.input.raw import RawFile
from producer.jobs import diff_document
from producer.jobs.diff_document import By, Summary
from producer.jobs.follow import StillRunning
from producer.jobs.select import JobFilter
from producer.jobs.submit import Submitted
from producer.request import Request
from producer.results import columns
from producer.trust.calibration.probability import Calibration
from producer.trust.promises.trusted import Trusted
from producer.trust.sample import Sample
from producer.trust.verdicts import Verdict, given

T = TypeVar("T")

#: Seconds to connect; and to wait for the next bytes of an answer.
_CONNECT, _ANSWER = 10.0, 60.0
#: Seconds to wait while the server reads a file, or all answers of a job: longer than the server allows for a file.
_READING = 1000.0
_PATIENT = httpx.Timeout(_READING, connect=_CONNECT)
#: Following a job: seconds to connect, and seconds of silence after which its events are asked for again; the server
#: sends one every two. Together less than ten: so soon a client says that its server has gone away.
_RECONNECT, _SILENCE = 3.0, 6.0
#: Seconds to wait for a server that has gone away, while following a job.
_AWAY = 600.0
#: What a proxy answers while no server is behind it.
_NO_SERVER = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
#: The limit of a list without a limit.
_ALL = 100_000
#: Documents of a job that are listed in one request.
_LISTED = 1000
#: Rows that are shown in one request.
_SHOWN = 200
#: Seconds for which a request that the server has no room for is sent again.
_PATIENCE = 60.0


class HttpBackend:
    """See `producer.backend.protocol.Backend`. Raises UsageError for a URL that cannot be a server's."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = address(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clients = {os.getpid(): self._open()}

    def _open(self) -> httpx.Client:
        timeout = httpx.Timeout(_ANSWER, connect=_CONNECT)
        return web.client(self.url, base_url=self.url, headers=self._headers, timeout=timeout)

    @property
    def _client(self) -> httpx.Client:
        """The connections of this process: a fork cannot use those of its parent, and must not close them."""
        if (process := os.getpid()) not in self._clients:
            self._clients[process] = self._open()
        return self._clients[process]

    def submit(self, file: InputSpec, request: Request, progress: Callable[[Reading], None] | None = None) -> Submitted:
        notes: list[str] = []
        locations = locations_of(file, notes)
        job, new = self._send(
            "/v1/jobs", locations, request, progress,
            lambda answer: (answer.json()["id"], answer.status_code == httpx.codes.ACCEPTED),
        )  # fmt: skip
        manifest = self.manifest(job)
        source = replace(manifest.source, notes=(*notes, *manifest.source.notes))
        return Submitted(replace(manifest, source=source), new)

    def forecast(
        self, file: InputSpec, request: Request, wish: Wish, progress: Callable[[Reading], None] | None = None
    ) -> Quote:
        query = {name: value for name, value in asdict(wish).items() if value is not None}
        return self._send(
            "/v1/check", locations_of(file, []), request, progress,
            lambda answer: codec.parse(Quote, answer.json()["forecast"]), params=query,
        )  # fmt: skip

    def _send(
        self,
        path: str,
        locations: list[tuple[str, One]],
        request: Request,
        progress: Callable[[Reading], None] | None,
        read: Callable[[httpx.Response], T],
        **options: Any,
    ) -> T:
        """Send files with the options of a request as a form."""
        with ExitStack() as resources:
            uploads = [(name, Upload(RawFile(location, resources), progress)) for name, location in locations]
            files = [(name, (upload.name, cast(Any, upload))) for name, upload in uploads]
            if request.columns:
                files.append(("columns", ("columns.arrow", request.columns.to_bytes())))
            timeout = httpx.Timeout(_READING, connect=_CONNECT)
            return self._ask("POST", path, read, data=form_of(request), files=files, timeout=timeout, **options)

    def answer(self, pairs: Sequence[Pair], request: Request, timeout: float) -> list[dict[str, Any]]:
        rows = [pair.fields() for pair in pairs]
        options = {option.name: value for option, value in request.changed()}
        body = {"rows": rows, "timeout": timeout} | options
        answered: list[dict[str, Any]] = self._ask(
            "POST", "/v1/answer", lambda answer: answer.json()["predictions"], json=body
        )
        return answered

    def find(self, job: str) -> str:
        return self.status(job).id

    def manifest(self, job: str) -> Manifest:
        path = f"/v1/jobs/{_segment(job)}/manifest"
        return self._ask("GET", path, lambda answer: read_manifest(answer.content))

    def status(self, job: str, *, reason: bool = True) -> Progress:
        return self._ask("GET", f"/v1/jobs/{_segment(job)}", lambda answer: progress_of(answer.json(), self.url))

    def follow(self, job: str, timeout: float | None = None) -> Iterator[Progress]:
        """See the protocol. Waits ten minutes for a server that has gone away: the `reason` of the progress says so."""
        ends = None if timeout is None else time.monotonic() + timeout
        latest, heard = self.status(job), time.monotonic()
        yield latest
        while not latest.finished:
            remaining = _SILENCE if ends is None else ends - time.monotonic()
            if remaining <= 0:
                raise StillRunning(latest)
            try:
                for latest in self._events(job, min(remaining, _SILENCE)):
                    heard = time.monotonic()
                    yield latest
                    if not latest.finished and ends is not None and heard > ends:
                        raise StillRunning(latest)
            except _Gone as gone:
                if time.monotonic() - heard > _AWAY:
                    raise
                yield replace(latest, reason=reasons.server_away(gone.message))
                time.sleep(min(1.0, max(0.0, remaining)))

    def _events(self, job: str, silence: float) -> Iterator[Progress]:
        """The server's events, until there is none for `silence` seconds. Raises _Gone."""
        path, timeout = f"/v1/jobs/{_segment(job)}/events", httpx.Timeout(_RECONNECT, read=silence)
        with self._answer("GET", path, timeout=timeout) as answer, suppress(httpx.ReadTimeout):
            for event in httpx_sse.EventSource(answer).iter_sse():
                if event.event == "trouble":
                    raise error_of(json.loads(event.data))
                yield progress_of(event.json(), self.url)

    def jobs(self, filters: JobFilter) -> Listed:
        query = {
            "status": list(filters.status),
            "since": filters.since,
            "model": filters.model,
            "metadata": [f"{name}={value}" for name, value in filters.metadata.items()],
            "sort": filters.sort,
            "reverse": filters.reverse,
            "limit": filters.limit or _ALL,
        }
        query = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", "/v1/jobs", lambda answer: listed_of(answer.json(), self.url), params=query)

    def ids(self, limit: int | None) -> list[str]:
        return [] if limit == 0 else [job.id for job in self.jobs(JobFilter(limit=limit)).jobs]

    def lines(self, job: str, *, offset: int = 0, wait: Callable[[], bool] | None = None) -> Iterator[bytes]:
        more = True
        while more:
            more = bool(wait and wait())  # before the request: what is there once the job has ended is all
            query = {"format": "jsonl", "offset": offset}
            with self._answer("GET", f"/v1/jobs/{_segment(job)}/results", params=query) as answer:
                for block in whole_lines(answer.iter_bytes()):
                    offset += block.count(b"\n")
                    yield block

    def groups(self, job: str) -> Iterator[bytes]:
        query = {"by": "group", "format": "jsonl"}
        with self._answer("GET", f"/v1/jobs/{_segment(job)}/results", params=query) as answer:
            yield from whole_lines(answer.iter_bytes())

    def columns(self, job: str) -> columns.InputColumns | None:
        manifest = self.manifest(job)
        if not manifest.columns_sha256:
            return None
        path = f"/v1/jobs/{_segment(job)}/columns"
        return columns.parsed(self._ask("GET", path, lambda answer: answer.content), manifest, f"{self.url}{path}")

    def documents(self, job: str) -> list[Document]:
        path, documents = f"/v1/jobs/{_segment(job)}/documents", list[Document]()
        while True:
            query = {"offset": len(documents), "limit": _LISTED}
            answer = self._ask("GET", path, httpx.Response.json, params=query)
            documents += codec.parse(list[Document], answer["documents"])
            if not answer["documents"] or len(documents) >= answer["count"]:
                return documents

    def text(self, job: str, document: int) -> str | None:
        path = f"/v1/jobs/{_segment(job)}/documents/{document}/text"
        return self._ask("GET", path, lambda answer: answer.content.decode() or None)

    def errors(self, job: str) -> Iterator[bytes] | None:
        return self._blocks(f"/v1/jobs/{_segment(job)}/errors") if self.status(job).error_uri else None

    def _blocks(self, path: str) -> Iterator[bytes]:
        with self._answer("GET", path) as answer:
            yield from answer.iter_bytes()

    def cancel(self, job: str) -> None:
        self._ask("POST", f"/v1/jobs/{_segment(job)}/cancel", httpx.Response.json)

    def pause(self, job: str) -> None:
        self._ask("POST", f"/v1/jobs/{_segment(job)}/pause", httpx.Response.json)

    def resume(self, job: str) -> None:
        self._ask("POST", f"/v1/jobs/{_segment(job)}/resume", httpx.Response.json)

    def retry(self, job: str) -> Submitted:
        new = self._ask("POST", f"/v1/jobs/{_segment(job)}/retry", lambda answer: str(answer.json()["id"]))
        return Submitted(self.manifest(new), new=True)

    def delete(self, job: str, *, cancel: bool = False, force: bool = False) -> tuple[str, int]:
        if force:
            raise UsageError(
                "a server does not delete jobs by force", "Delete it on a machine that shares the storage."
            )
        query = {"cancel": True} if cancel else {}
        path = f"/v1/jobs/{_segment(job)}"
        return self._ask("DELETE", path, lambda answer: (answer.json()["job"], answer.json()["bytes"]), params=query)

    def diff(self, first: str, second: str, summary: Summary, *, by: By = "row") -> Iterator[dict[str, Any]]:
        query = {"with": second, "by": by}
        with self._answer("GET", f"/v1/jobs/{_segment(first)}/diff", params=query) as answer:
            yield from diff_document.read(
                (line for block in whole_lines(answer.iter_bytes()) for line in block.splitlines()), summary
            )

    def notification(self, job: str) -> Notification:
        path = f"/v1/jobs/{_segment(job)}/notifications"
        return self._ask("GET", path, lambda answer: codec.read(Notification, answer.content))

    def judge(self, job: str, verdicts: Sequence[Verdict]) -> int:
        body = {"verdicts": [given(verdict) for verdict in verdicts]}
        return self._ask(
            "POST",
            f"/v1/jobs/{_segment(job)}/verdicts",
            lambda answer: int(answer.json()["stored"]),
            json=body,
            timeout=_PATIENT,
        )

    def verdicts(self, job: str) -> list[Verdict]:
        path = f"/v1/jobs/{_segment(job)}/verdicts"
        return self._ask("GET", path, lambda answer: codec.parse(list[Verdict], answer.json()["verdicts"]))

    def sample(self, job: str, rows: int, precision: float, seed: int, *, one_of_each: bool = True) -> Sample:
        path = f"/v1/jobs/{_segment(job)}/sample"
        query = {"rows": rows, "precision": precision, "seed": seed, "all_rows": not one_of_each}
        return self._ask("GET", path, lambda answer: codec.read(Sample, answer.content), params=query, timeout=_PATIENT)

    def details(self, job: str, rows: Sequence[int], around: int) -> list[dict[str, Any]]:
        path, predictions = f"/v1/jobs/{_segment(job)}/rows", list[dict[str, Any]]()
        while len(predictions) < len(rows):
            query = {"row": list(rows[len(predictions) : len(predictions) + _SHOWN]), "limit": _SHOWN, "around": around}
            page = self._ask("GET", path, httpx.Response.json, params=query)["predictions"]
            if not page:
                raise self._foreign()
            predictions += page
        return predictions

    def trust(self, job: str, precision: float, confidence: float) -> Trusted:
        path, query = f"/v1/jobs/{_segment(job)}/trust", {"precision": precision, "confidence": confidence}
        return self._ask(
            "GET", path, lambda answer: codec.read(Trusted, answer.content), params=query, timeout=_PATIENT
        )

    def calibration(self, job: str) -> Calibration:
        path = f"/v1/jobs/{_segment(job)}/calibration"
        return self._ask("GET", path, lambda answer: codec.read(Calibration, answer.content))

    def workers(self) -> list[WorkerInfo]:
        return self._ask("GET", "/v1/workers", lambda answer: codec.read(list[WorkerInfo], answer.content))

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, read: Callable[[httpx.Response], T], **options: Any) -> T:
        """Send a request and read the whole answer."""
        with self._answer(method, path, **options) as answer:
            answer.read()
            return read(answer)

    @contextmanager
    def _answer(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Send a request; the body of the answer is not read yet. Raises the error of a problem, and _Gone."""
        if self._client.is_closed:
            raise UsageError("this client is closed", "Make another.")
        try:
            with self._sent(method, path, **options) as answer:
                yield answer
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _Gone(
                f"{self.url} does not answer: {error or type(error).__name__}",
                "Is `producer serve` running, and is this its address (BULKQA_SERVER)?",
            ) from error
        except (ValueError, KeyError, TypeError, httpx_sse.SSEError) as error:
            raise self._foreign() from error

    @contextmanager
    def _sent(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        ends = time.monotonic() + _PATIENCE
        while True:
            with self._client.stream(method, path, **options) as answer:
                if answer.is_success:
                    yield answer
                    return
                answer.read()
                after = answer.headers.get("Retry-After", "")
                refusal = self._refusal(answer)
            early = answer.status_code == httpx.codes.TOO_MANY_REQUESTS and after.isdigit() and "files" not in options
            if not early or time.monotonic() + int(after) > ends:
                raise refusal
            time.sleep(int(after))

    def _refusal(self, answer: httpx.Response) -> BulkqaError:
        if not answer.headers.get("content-type", "").startswith("application/problem+json"):
            if answer.status_code in _NO_SERVER:
                return _Gone(f"{self.url} does not answer: {answer.status_code} of a proxy", "Is its server running?")
            return self._foreign(f", but {answer.status_code}")
        return error_of(answer.json())

    def _foreign(self, what: str = "") -> BulkqaError:
        return UsageError(
            f"{self.url} does not answer as bulkqa {_version()} does{what}",
            "Is this the address of a `producer serve` of the same version (BULKQA_SERVER)?",
        )


class _Gone(Unreachable):
    """The server does not answer, or broke off its answer."""


def _segment(job: str) -> str:
    """A job id as a segment of a path. Raises UnknownJob for what cannot be one."""
    if not job or not all(c.isalnum() or c in "-_" for c in job):
        raise UnknownJob(f"{job!r} is not a job id", LIST_JOBS)
    return job


def _version() -> str:
    from importlib.metadata import version

    return version("bulkqa")
