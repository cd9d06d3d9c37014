"""The groups of a job, as they were published: as lines, a page at a time, and as columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from contract.errors import BulkqaError, NotEnded, UsageError
from contract.format import document, layout
from contract.format.job import Manifest
from contract.ledger import records
from contract.ledger.stored import load_manifest
from contract.remedy import Call, Remedy, Set
from contract.storage import Storage
from contract.storage.digest import digest_of
from producer.results.pages import Pile, RowFilter
from producer.results.typed import core

#: Lines in a block, and groups that one page looks through.
_BLOCK, _LOOKED_THROUGH = 1000, 20_000

_OF_SPAN = (pa.field("start", pa.int64()), pa.field("end", pa.int64()))
_VALUES_OF_SPAN = tuple(pa.field(name, pa.float64()) for name in ("score", "raw_score", "margin"))


def check(manifest: Manifest) -> None:
    """Raise UsageError for a job without groups."""
    if manifest.groups is None:
        remedy = Remedy("Submit it with ", Set("group_by"), ", or with lists of contexts. Or take its rows.")
        raise UsageError(f"job {manifest.id} has no groups", remedy)


def blocks(storage: Storage, job: str, offset: int = 0) -> Iterator[bytes]:
    """The groups of a job that has ended from the number `offset` on, as JSON lines in blocks of whole ones.

    The document is read twice: its digest is checked before its first line is used. Raises UsageError for a job without
    groups, NotEnded, and BulkqaError if it was altered or removed."""
    key, digest = _published(storage, load_manifest(storage, job))
    try:
        whole = digest_of(storage.blocks(key)).sha256 == digest
    except FileNotFoundError:
        whole = False
    if not whole:
        raise _altered(storage, job)
    lines = islice(document.read(storage.blocks(key)), offset, None)
    while block := b"".join(islice(lines, _BLOCK)):
        yield block


def _published(storage: Storage, manifest: Manifest) -> tuple[str, str]:
    """Where the groups of a job are, and their digest."""
    check(manifest)
    job = manifest.id
    report = records.report(storage, job)
    if report is None:
        message = f"the groups of job {job} are not there yet: they are published when it has ended"
        raise NotEnded(message, Remedy("Wait for it: ", Call("status", job, ("watch",))))
    if "groups" not in report.outputs:
        message = f"job {job} was cancelled before its groups were published"
        raise UsageError(message, Remedy("Take the rows that are done: ", Call("results", job)))
    return layout.groups(job), report.outputs["groups"]["sha256"]


def _altered(storage: Storage, job: str) -> BulkqaError:
    places = storage.locate(layout.groups(job)), storage.locate(layout.report(job))
    return BulkqaError(
        f"{places[0]} was altered or removed since job {job} ended",
        Remedy(
            f"Remove {' and '.join(places)}, then: ", Call("repair", job), ". The groups are made again from its rows."
        ),
    )


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups: as many as requested, or fewer if they are large."""

    groups: list[dict[str, Any]]
    next: int | None  #: the offset of the next page; None: this was the last
    count: int  #: groups of the job


def page(storage: Storage, job: str, offset: int, limit: int, group_filter: RowFilter) -> GroupPage:
    """At most `limit` groups that match, from the number `offset` on. Raises as `blocks` does, but checks no digest."""
    manifest = load_manifest(storage, job)
    key, _ = _published(storage, manifest)
    count = 0 if manifest.groups is None else manifest.groups.count
    pile, at = Pile(limit, None), offset
    try:
        for line in islice(document.read(storage.blocks(key)), offset, offset + _LOOKED_THROUGH):
            group = json.loads(line)
            if group_filter.matches(group) and not pile.takes(group):
                return GroupPage(pile.predictions, at, count)
            at += 1
    except (FileNotFoundError, ValueError) as error:
        raise _altered(storage, job) from error
    return GroupPage(pile.predictions, at if offset < at < count else None, count)


def group_core(manifest: Manifest, id_type: Any) -> pa.Schema:
    """The columns of a job's groups without those of the input."""
    of_rows = core(manifest, id_type)
    chosen = [of_rows.field(name) for name in ("row", "passage", "document", "page") if name in of_rows.names]
    excerpt = [of_rows.field(name) for name in ("excerpt", "excerpt_start") if name in of_rows.names]
    span = [pa.field("answer", pa.string()), *chosen, *_OF_SPAN, *_VALUES_OF_SPAN]
    return pa.schema(
        [
            ("group", pa.string()),
            ("id", id_type),
            ("question", pa.string()),
            ("status", pa.string()),
            ("answer", pa.string()),
            *chosen,
            *_OF_SPAN,
            *excerpt,
            *_VALUES_OF_SPAN,
            ("null_score", pa.float64()),
            ("support", pa.int64()),
            ("passages", pa.int64()),
            *(of_rows.field(name) for name in ("flags", "exact_match", "f1", "error_code", "error_message")),
            ("alternatives", pa.list_(pa.struct(span))),
        ]
    )
