"""Six hundred damaged files, by seed: no traceback, accepted + rejected = rows, and `check` agrees with `submit`."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from contract.settings import Settings
from producer.input.options import ReadOptions
from producer.jobs.check import check_file
from tests.damage import keeps_promises, made

BATCHES = 12
FILES = 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(BATCHES))
def test_a_damaged_file_is_read_or_refused_and_check_agrees_with_submit(seed: int, tmp_path: Path, settings: Settings):
    dice = random.Random(seed)
    path = tmp_path / "input"
    for number in range(FILES):
        path.write_bytes(made(dice))
        try:
            keeps_promises(path, settings)
        except Exception as error:
            raise AssertionError(f"seed {seed}, file {number}") from error


def test_a_gzip_bomb_costs_no_memory(tmp_path: Path, settings: Settings):
    """128 MiB of one line in half a MiB: a row that is too large, of which little is held."""
    import tracemalloc

    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"question|context\nwho?|someone\nwho?|")
        for _ in range(128):
            file.write(b"x" * (1 << 20))
        file.write(b"\nwho?|me\n")
    tracemalloc.start()
    try:
        summary = check_file(str(path), ReadOptions(), settings)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert (summary.rows, summary.codes) == (3, {"row_too_large": 1})
