"""Where everything is under the storage root: the only place that spells storage keys.

    storage.json                    the id of this storage, written once, by the first to need it
    notifications/<job>             the job's webhook is still to be delivered, once the job has ended
    expiring/<job>                  the job is to be removed some time after its end
    questions/1790000000000-3f9ac2d13f9ac2d1.json        rows to be answered at once, asked at that time
    questions/1790000000000-3f9ac2d13f9ac2d1.reply.json  their predictions
    jobs/<job>/manifest.json        what was requested; immutable, written before the first message
    jobs/<job>/chunks/index.json    rows and sha256 of every chunk; its own digest is in the manifest
    jobs/<job>/chunks/000000.parquet
    jobs/<job>/chunks/keys          the keys of all rows, 16 bytes each; its digest is in the manifest
    jobs/<job>/chunks/000000.carried        outcomes that rows of the chunk reuse; their digests are in the index
    jobs/<job>/chunks/columns.arrow types of the input's columns, the index of a frame; its digest is in the manifest
    jobs/<job>/chunks/documents.json        the documents of a job: names, digests, pages; its digest is in the manifest
    jobs/<job>/chunks/texts/<sha256>.txt    the text of a document, once for equal texts
    jobs/<job>/chunks-3f9ac2d1/     the same for a job with a key: one folder per submission, the manifest names one
    jobs/<job>/attempts/000000.1    one record per attempt, written before the work, deleted once the part is there
    jobs/<job>/attempts/000000.1.released   that attempt ended in order and does not count against the chunk
    jobs/<job>/attempts/000000.2.row        the rows in flight, from the second attempt on
    jobs/<job>/events/000000-1790000000000.json   how failed attempts ended; written once the part is there
    jobs/<job>/parts/000000.jsonl   the outcome of a chunk, written once; the last line is its footer
    jobs/<job>/model.json           the model that scores this job, pinned by the first worker
    jobs/<job>/progress.json        the sum of the first parts, so that status need not read them all; a hint
    jobs/<job>/cancel               exists if the job is to be cancelled
    jobs/<job>/paused               exists while nothing of the job is to be sent
    jobs/<job>/retries/<job>        a job that tries the failed rows of this one again
    jobs/<job>/notifications/000001.json    a delivery attempt of the job's webhook
    jobs/<job>/verdicts/1790000000000-3f9ac2d1.json   what somebody said of some answers at that time, written once
    jobs/<job>/calibrations/3f9ac2d13f9ac2d1.json   how likely answers are right, of labels of that digest, written once
    jobs/<job>/predictions.json  groups.json  errors.csv  report.json    published in this order, each once

Every key is made from a checked job id, a checked chunks folder and integers: none can be outside of the job's folder.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from contract.errors import BulkqaError
from contract.format.job import CHUNKS, check_job_id

JOBS = "jobs"
STORAGE = "storage.json"
OWED = "notifications"
EXPIRING = "expiring"
QUESTIONS = "questions"
_CHUNKS = re.compile(rf"{CHUNKS}(?:-[0-9a-f]{{8}})?")
_SHA256 = re.compile("[0-9a-f]{64}")
_NUMBERED = re.compile(r"(\d{6,})\.(?:parquet|jsonl)")
_EVENT = re.compile(r"(\d{6,})-\d+\.json")
_ATTEMPT = re.compile(r"(\d{6,})\.(\d+)(\.released|\.row)?")
_VERDICTS = re.compile(r"\d{13}-[0-9a-f]{8}\.json")
_QUESTION = re.compile(r"\d{13}-[0-9a-f]{16}")
_UNFINISHED = re.compile(r"\.tmp-(.+)-[0-9a-f]{32}")
#: The kinds of objects in a job's folder, by their names relative to it.
_KINDS = {
    "chunks": re.compile(
        rf"{_CHUNKS.pattern}/(?:(?:index|documents)\.json|columns\.arrow|keys|\d{{6,}}\.(?:parquet|carried)"
        r"|texts/[0-9a-f]{64}\.txt)"
    ),
    "parts": re.compile(r"parts/\d{6,}\.jsonl"),
    "outputs": re.compile(r"(?:predictions|groups|report)\.json|errors\.csv"),
    "records": re.compile(
        r"(?:manifest|model|progress)\.json|cancel|paused|attempts/\d{6,}\.\d+(?:\.released|\.row)?"
        r"|events/\d{6,}-\d+\.json"
        rf"|notifications/\d{{6,}}\.json|verdicts/{_VERDICTS.pattern}"
        r"|calibrations/[0-9a-f]{16}\.json|retries/[a-z0-9-]+"
    ),
}


def is_question(name: str) -> bool:
    """Whether this may be the name of a question: the queue holds such names, and anybody may write there."""
    return _QUESTION.fullmatch(name) is not None


def question(name: str) -> str:
    if not is_question(name):
        raise BulkqaError(f"{name!r} is not the name of a question")
    return f"{QUESTIONS}/{name}.json"


def reply(name: str) -> str:
    return f"{question(name).removesuffix('.json')}.reply.json"


def question_of(entry: str) -> str:
    """The name of the question that an entry of QUESTIONS belongs to; empty if it is neither question nor reply."""
    name = entry.removesuffix(".json").removesuffix(".reply")
    return name if is_question(name) and entry in (f"{name}.json", f"{name}.reply.json") else ""


def folder(job: str) -> str:
    return f"{JOBS}/{check_job_id(job)}"


def manifest(job: str) -> str:
    return f"{folder(job)}/manifest.json"


def new_chunks() -> str:
    """A new chunks folder, for one submission of possibly several with the same job id."""
    return f"{CHUNKS}-{secrets.token_hex(4)}"


def is_chunks(name: str) -> bool:
    return isinstance(name, str) and _CHUNKS.fullmatch(name) is not None


def is_without_answers(name: str) -> bool:
    """Whether an entry of a job's folder is one that may be there before anything was scored."""
    return is_chunks(name) or name in ("attempts", "model.json")


def chunks(job: str, within: str = CHUNKS) -> str:
    if not is_chunks(within):
        raise BulkqaError(f"job {job} names the chunks folder {within!r}, which is invalid", "Submit it again.")
    return f"{folder(job)}/{within}"


def index(job: str, within: str = CHUNKS) -> str:
    return f"{chunks(job, within)}/index.json"


def columns(job: str, within: str = CHUNKS) -> str:
    return f"{chunks(job, within)}/columns.arrow"


def documents(job: str, within: str = CHUNKS) -> str:
    return f"{chunks(job, within)}/documents.json"


def texts(job: str, within: str = CHUNKS) -> str:
    return f"{chunks(job, within)}/texts"


def text(job: str, sha256: str, within: str = CHUNKS) -> str:
    if not _SHA256.fullmatch(sha256):
        raise BulkqaError(f"job {job} names the text {sha256!r}, which is invalid", "Submit it again.")
    return f"{texts(job, within)}/{sha256}.txt"


def chunk(job: str, number: int, within: str = CHUNKS) -> str:
    return f"{chunks(job, within)}/{number:06d}.parquet"


def carried(job: str, number: int, within: str = CHUNKS) -> str:
    return f"{chunks(job, within)}/{number:06d}.carried"


def keys(job: str, within: str = CHUNKS) -> str:
    return f"{chunks(job, within)}/keys"


def parts(job: str) -> str:
    return f"{folder(job)}/parts"


def part(job: str, number: int) -> str:
    return f"{parts(job)}/{part_name(number)}"


def part_name(number: int) -> str:
    return f"{number:06d}.jsonl"


def attempts(job: str) -> str:
    return f"{folder(job)}/attempts"


def attempt(job: str, number: int, attempt_: int) -> str:
    return f"{attempts(job)}/{number:06d}.{attempt_}"


def released(job: str, number: int, attempt_: int) -> str:
    return f"{attempt(job, number, attempt_)}.released"


def in_flight(job: str, number: int, attempt_: int) -> str:
    return f"{attempt(job, number, attempt_)}.row"


def events(job: str) -> str:
    return f"{folder(job)}/events"


def event(job: str, number: int, started_at: float) -> str:
    """The name holds the start of the last attempt, so a chunk that is scored again gets another event."""
    return f"{events(job)}/{number:06d}-{int(started_at * 1000)}.json"


def model(job: str) -> str:
    return f"{folder(job)}/model.json"


def progress(job: str) -> str:
    return f"{folder(job)}/progress.json"


def cancel(job: str) -> str:
    return f"{folder(job)}/cancel"


def paused(job: str) -> str:
    return f"{folder(job)}/paused"


def retries(job: str) -> str:
    return f"{folder(job)}/retries"


def retried(job: str, by: str) -> str:
    return f"{retries(job)}/{check_job_id(by)}"


def owed(job: str) -> str:
    return f"{OWED}/{check_job_id(job)}"


def expiring(job: str) -> str:
    return f"{EXPIRING}/{check_job_id(job)}"


def notifications(job: str) -> str:
    return f"{folder(job)}/notifications"


def notification(job: str, number: int) -> str:
    return f"{notifications(job)}/{number:06d}.json"


def verdicts(job: str) -> str:
    return f"{folder(job)}/verdicts"


def new_verdicts(job: str, at: float, earlier: Iterable[str] = ()) -> str:
    """A new object of verdicts that were given at a time, in seconds since 1970. Such names sort by it, and this one
    after those of `earlier` objects, whatever clock they are from."""
    last = max((int(name[:13]) for name in earlier if is_verdicts(name)), default=0)
    return f"{verdicts(job)}/{max(int(at * 1000), last + 1):013d}-{secrets.token_hex(4)}.json"


def is_verdicts(name: str) -> bool:
    """Whether a name under verdicts/ is that of an object of verdicts."""
    return _VERDICTS.fullmatch(name) is not None


def calibration(job: str, labels_sha256: str) -> str:
    return f"{folder(job)}/calibrations/{labels_sha256[:16]}.json"


def groups(job: str) -> str:
    return f"{folder(job)}/groups.json"


def predictions(job: str) -> str:
    return f"{folder(job)}/predictions.json"


def errors(job: str) -> str:
    return f"{folder(job)}/errors.csv"


def report(job: str) -> str:
    return f"{folder(job)}/report.json"


def number(name: str) -> int | None:
    """The number in the name of a chunk or part file, None if it is neither."""
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) if match else None


def attempt_of(name: str) -> tuple[int, int, str] | None:
    """(chunk, attempt, kind) in a name under attempts/; kind is "", "released" or "row"."""
    match = _ATTEMPT.fullmatch(name)
    return (int(match[1]), int(match[2]), (match[3] or "").lstrip(".")) if match else None


def is_input(name: str) -> bool:
    """Whether a name in a chunks folder is of what was submitted: not of the index, nor of outcomes beside a chunk."""
    return kind_of(f"{CHUNKS}/{name}") == "chunks" and name != "index.json" and not name.endswith(".carried")


def event_of(name: str) -> int | None:
    """The number of the chunk in a name under events/."""
    match = _EVENT.fullmatch(name)
    return int(match[1]) if match else None


def kind_of(name: str) -> str | None:
    """The kind of an object, by its name relative to its job's folder: "chunks", "parts", "outputs" or "records",
    finished or still being written. None if bulkqa gives no such name."""
    folder_, slash, last = name.rpartition("/")
    if match := _UNFINISHED.fullmatch(last):
        last = match[1]
    return next((kind for kind, names in _KINDS.items() if names.fullmatch(folder_ + slash + last)), None)
