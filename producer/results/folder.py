"""Predictions as a folder of parts in row order, as Spark and its like write and read one: `part-00000.jsonl` and on.

For jobs whose one document would be of use to nobody. The folder appears whole or not at all, with a `_SUCCESS` in it
if the job has ended; rows that failed lie beside the parts as `_errors.csv`, which no reader of a folder takes for
data.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from contract.errors import UsageError

#: Bytes of a part, as JSON lines, at least; the last may be smaller.
PART_BYTES = 64 << 20
#: The rows that failed.
ERRORS = "_errors.csv"
KINDS = ("jsonl", "parquet", "csv")


def check_folder(folder: Path, kind: str | None) -> None:
    """Complain about a folder for parts before the work. Raises UsageError."""
    if folder == Path("-"):
        raise UsageError("parts are files, and stdout is none", "Name a folder for them.")
    if kind not in (None, *KINDS):
        raise UsageError(f"parts cannot be written as {kind!r}", f"One of: --format {', '.join(KINDS)}")
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        parent = next(one for one in folder.absolute().parents if one.exists())
        staged = parent / f".{folder.name}.{secrets.token_hex(8)}.tmp"
        staged.mkdir()
        staged.rmdir()
    except OSError as error:
        raise _refused(folder, error) from error
    if taken:
        raise UsageError(f"-o {folder} is there, and not an empty folder", "Name a new one: nothing is written over.")


def write_parts(folder: Path, parts: Iterable[tuple[str, Iterable[bytes]]], *, complete: bool) -> None:
    """Write files into a folder that is there with all of them or not at all. `parts` are names and contents; whether
    they are `complete` is said by a `_SUCCESS`. Raises UsageError where it cannot be written."""
    staged = folder.absolute().with_name(f".{folder.name}.{secrets.token_hex(8)}.tmp")
    try:
        staged.mkdir(parents=True)
        for name, blocks in parts:
            with (staged / name).open("xb") as file:
                for block in blocks:
                    file.write(block)
        if complete:
            (staged / "_SUCCESS").touch()
        staged.replace(folder.absolute())  # also over an empty folder, and over no other
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def cut(lines: Iterable[bytes], size: int = PART_BYTES) -> Iterator[Iterator[bytes]]:
    """Blocks of lines in groups of at least so many bytes, each to be read before the next is asked for."""
    blocks = iter(lines)

    def group(first: bytes) -> Iterator[bytes]:
        yield first
        got = len(first)
        while got < size and (block := next(blocks, None)) is not None:
            yield block
            got += len(block)

    for first in blocks:
        this = group(first)
        yield this
        for _ in this:
            pass


def _refused(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"-o {folder} cannot be written: {error.strerror or error}",
        "Name another place. The job keeps its predictions: producer results JOB -o ...",
    )
