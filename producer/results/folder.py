"""Predictions as a folder of files in row order, as Spark writes and reads one: `part-00000.jsonl` and so on.

For jobs too large for one document. The folder appears whole or not at all, with a `_SUCCESS` in it if the job has
ended. Rows with errors are beside the files in `_errors.csv`, which readers of such folders skip.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from contract.errors import UsageError
from contract.remedy import Call, Remedy, Set

#: Bytes of a file, as JSON lines, at least; the last file may be smaller.
FILE_BYTES = 64 << 20
#: The rows with errors.
ERRORS = "_errors.csv"
KINDS = ("jsonl", "parquet", "csv", "html")


def check(folder: Path, kind: str | None) -> None:
    """Check the output folder before the work starts. Raises UsageError."""
    if folder == Path("-"):
        raise UsageError("a folder of files cannot go to stdout", "Name a folder.")
    if kind not in (None, *KINDS):
        raise UsageError(
            f"a folder of files cannot be written as {kind!r}",
            Remedy("Set ", Set("output_format"), f" to one of {', '.join(KINDS)}."),
        )
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        parent = next(path for path in folder.absolute().parents if path.exists())
        staged = parent / f".{folder.name}.{secrets.token_hex(8)}.tmp"
        staged.mkdir()
        staged.rmdir()
    except OSError as error:
        raise _refused(folder, error) from error
    if taken:
        raise UsageError(
            f"the output {folder} exists and is not an empty folder", "Name a new one: nothing is overwritten."
        )


def write(folder: Path, files: Iterable[tuple[str, Iterable[bytes]]], *, complete: bool) -> None:
    """Write files, given as names and contents, into a folder that appears with all of them or not at all. `complete`
    adds a `_SUCCESS`. Raises UsageError if the folder cannot be written."""
    staged = folder.absolute().with_name(f".{folder.name}.{secrets.token_hex(8)}.tmp")
    try:
        staged.mkdir(parents=True)
        for name, blocks in files:
            with (staged / name).open("xb") as file:
                for block in blocks:
                    file.write(block)
        if complete:
            (staged / "_SUCCESS").touch()
        staged.replace(folder.absolute())  # replaces an empty folder too, and no other
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def cut(lines: Iterable[bytes], size: int = FILE_BYTES) -> Iterator[Iterator[bytes]]:
    """Blocks of lines in groups of at least `size` bytes. Each group has to be read before the next one is taken."""
    blocks = iter(lines)

    def group(first: bytes) -> Iterator[bytes]:
        yield first
        total = len(first)
        while total < size and (block := next(blocks, None)) is not None:
            yield block
            total += len(block)

    for first in blocks:
        current = group(first)
        yield current
        for _ in current:
            pass


def _refused(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the output {folder} cannot be written: {error.strerror or error}",
        Remedy("Name another place. The job keeps its predictions: ", Call("results", "JOB"), " ", Set(output="DIR")),
    )
