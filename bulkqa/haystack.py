"""A reader for pipelines of Haystack 2 and later: `from bulkqa.haystack import ExtractiveReader`. Needs haystack-ai."""

from __future__ import annotations

from bulkqa import _load_packages

_load_packages("worker")

from worker.pipeline.haystack import ExtractiveReader  # noqa: E402

__all__ = ["ExtractiveReader"]
