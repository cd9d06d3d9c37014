"""The jobs whose outcomes a submission may reuse: named, or the latest that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BulkqaError, UsageError
from contract.format import chunk, layout
from contract.format.job import Manifest, ModelRef, Options, Reuse, Trust
from contract.format.option import changes
from contract.ledger import records
from contract.ledger.stored import Damage, StoredJob, load_manifest
from contract.remedy import Remedy, Set
from contract.reuse import keys
from contract.storage import Storage
from contract.storage.digest import digest_of
from contract.storage.many import many

#: The newest job that fits; with a label, the newest that has it.
LATEST = "latest"

#: The keys of a chunk's rows: (rows, 2), two halves each.
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Source:
    """A job whose outcomes may be reused, and the model that gave them."""

    stored: StoredJob
    model: ModelRef

    def chunk_keys(self) -> Iterator[tuple[int, Keys]]:
        """The keys of each chunk that can be read, with its number. For a job without them they are computed."""
        manifest, storage = self.stored.manifest, self.stored.storage
        key = layout.keys(manifest.id, manifest.chunks_folder)
        try:
            sound = bool(manifest.keys_sha256) and digest_of(storage.blocks(key)).sha256 == manifest.keys_sha256
            if sound:
                yield from self._stored_keys(storage.blocks(key))
                return
        except FileNotFoundError:  # the job is being removed
            pass
        for number in range(manifest.chunks):
            data = self.stored.chunk(number)
            if not isinstance(data, Damage):
                yield number, halves(keys.of_table(chunk.from_bytes(data)))

    def _stored_keys(self, blocks: Iterator[bytes]) -> Iterator[tuple[int, Keys]]:
        held = b""
        for number, rows in enumerate(self.stored.index.rows):
            while len(held) < rows * keys.SIZE and (block := next(blocks, b"")):
                held += block
            if len(held) < rows * keys.SIZE:  # it was cut meanwhile
                return
            yield number, halves(held[: rows * keys.SIZE])
            held = held[rows * keys.SIZE :]


def halves(data: bytes | memoryview) -> Keys:
    """Keys as two numbers each."""
    return np.frombuffer(data, "<u8").reshape(-1, 2)


def is_latest(name: str) -> bool:
    """Whether a name stands for the newest job, and is not an id."""
    return name == LATEST or name.startswith(f"{LATEST}:")


def open_sources(
    storage: Storage, names: Sequence[str], model: str, options: Options, trust: Trust | None = None
) -> list[Source]:
    """The jobs of these names: full ids, `latest` or `latest:team=search`. Those that no worker has begun are left out,
    and so is a latest that does not exist. Raises UnknownJob, and UsageError for a job of another model or other
    options, or if two were scored by different models; `trust` is the promise whose model scores the new job."""
    jobs: dict[str, None] = {}
    for name in names:
        job = _latest(storage, name, model, options) if is_latest(name) else name
        if job:
            jobs.setdefault(job)
    sources = [source for job in jobs if (source := _open(storage, job, model, options))]
    digests = {trust.model.digest: trust.job} if trust and sources else {}
    digests |= {source.model.digest: source.stored.id for source in sources}
    if len(digests) > 1:
        scored = " and ".join(f"{job} by {digest}" for digest, job in digests.items())
        raise UsageError(f"two models scored these jobs: {scored}", "Reuse jobs of one model.")
    return sources


def summary_of(reuse: Reuse, rows: int) -> str:
    """How many rows of a job reuse an outcome, and of which jobs; or why none does."""
    if not reuse.jobs:
        return "nothing is reused: no job that has ended fits, so all rows are scored"
    jobs = f"job{'s' if len(reuse.jobs) > 1 else ''} {', '.join(reuse.jobs)}"
    if not reuse.rows:
        return f"nothing is reused: no row has the text of a row whose outcome {jobs} can give"
    return f"{reuse.rows:,} of {rows:,} rows take their outcome from {jobs}"


def _open(storage: Storage, job: str, model: str, options: Options) -> Source | None:
    stored = StoredJob.open(storage, job)
    manifest = stored.manifest
    if manifest.model != model:
        raise UsageError(
            f"job {job} was scored by the model {manifest.model}, this one is for {model}: nothing can be reused",
            Remedy("Submit it for the same model: ", Set(model=manifest.model), ", or without ", Set("reuse"), "."),
        )
    if different := changes(manifest.options, options):
        others = ", ".join(f"{name} was {then}, now {now}" for name, then, now in different)
        options_then = {name: then for name, then, _ in different}
        raise UsageError(
            f"job {job} was answered with other options: {others}; nothing can be reused",
            Remedy("Give the same: ", Set(**options_then), ", or submit without ", Set("reuse"), "."),
        )
    pinned = records.model(storage, job)
    return Source(stored, pinned) if pinned else None


def _latest(storage: Storage, name: str, model: str, options: Options) -> str | None:
    """The newest job that has ended, fits, and has the label after the colon, if there is one."""
    label, _, value = name.removeprefix(LATEST).removeprefix(":").partition("=")

    def manifest_of(job: str) -> Manifest | None:
        try:
            return load_manifest(storage, job)
        except BulkqaError:  # damaged, of another version, or removed meanwhile
            return None

    def fits(manifest: Manifest) -> bool:
        labelled = manifest.metadata.get(label) == value if label else "asked" not in manifest.metadata
        return labelled and manifest.model == model and not changes(manifest.options, options)

    manifests = many(storage, manifest_of, records.jobs(storage))
    fitting = [manifest for manifest in manifests if manifest and fits(manifest)]
    for manifest in sorted(fitting, key=lambda manifest: manifest.created_at, reverse=True):
        if storage.exists(layout.report(manifest.id)):
            return manifest.id
    return None
