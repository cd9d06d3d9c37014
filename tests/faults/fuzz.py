"""`python -m tests.faults.fuzz`: files made by mutation, each read by check and by submit. SEED= and MINUTES= replay.

What it holds: no exception but ours, accepted + rejected = rows, check says what submit does, and memory stays within
a limit that the kernel keeps. A process that dies leaves its file behind as well: it was written before it was read.
"""

from __future__ import annotations

import bz2
import faulthandler
import gzip
import io
import json
import lzma
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from contract.settings import Settings
from tests.damage import damaged, jsonl, keeps_promises, parquet
from tests.making import csv

#: Of address space, beyond what the process has when it begins.
MEMORY = 1 << 30
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


_PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: _by_arrow("zstd", data),
    "lz4": lambda data: _by_arrow("lz4", data),
    "zip": lambda data: _zipped(data),
}


def _by_arrow(codec: str, data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def _zipped(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in", data)
    return sink.getvalue()


def made(dice: random.Random) -> tuple[str, bytes]:
    """The kind of a file, and the file."""
    kind = dice.choice(["parquet", "parquet", "csv", "jsonl", "json"])
    data = original(kind, dice)
    if kind == "parquet" or dice.random() < 0.6:
        return kind, mutated(data, kind, dice)
    packed = dice.choice(list(_PACKED))
    if dice.random() < 0.7:
        return f"{kind}.{packed}", _PACKED[packed](mutated(data, kind, dice))
    return f"{kind}.{packed}", mutated(_PACKED[packed](data), kind, dice)


def original(kind: str, dice: random.Random) -> bytes:
    if kind == "parquet":
        return parquet(dice)
    if kind == "json":
        rows = [json.loads(line) for line in jsonl(dice).splitlines() if line.startswith(b"{") and line.endswith(b"}")]
        paragraphs = [{"context": row["context"], "qas": [row]} for row in rows]
        value = dice.choice([rows, {"data": rows}, {"data": [{"paragraphs": paragraphs}]}])
        return json.dumps(value, indent=dice.choice([None, 1])).encode()
    return jsonl(dice) if kind == "jsonl" else csv(dice.randrange(0, 12), bad=(1,))


def mutated(data: bytes, kind: str, dice: random.Random) -> bytes:
    if dice.random() < 0.3:
        return damaged(data, dice)
    for _ in range(dice.choice([0, 1, 1, 1, 2, 8])):
        data = dice.choice((_flip, _number, _splice, _cut, _repeat, _swap, _directory))(data, kind, dice)
    return data


def _flip(data: bytes, _: str, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 4, 32])):
        if changed:
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _number(data: bytes, _: str, dice: random.Random) -> bytes:
    """A number at the edge of its type, as fixed bytes or in Thrift's way, over what is there."""
    value = dice.choice(_NUMBERS)
    if dice.random() < 0.5:
        new = value.to_bytes(8, "little")[: dice.choice([1, 2, 4, 8])]
    else:
        new = b""
        while value > 127:
            new += bytes([value & 127 | 128])
            value >>= 7
        new += bytes([value])
    place = dice.randrange(len(data) + 1)
    return data[:place] + new + data[place + dice.choice([1, len(new)]) :]


def _splice(data: bytes, kind: str, dice: random.Random) -> bytes:
    """The beginning of one file and the end of another."""
    other = original(dice.choice([kind, "parquet", "csv", "jsonl"]), dice)
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other) + 1) :]


def _cut(data: bytes, _: str, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)] if dice.random() < 0.5 else data[dice.randrange(len(data) + 1) :]


def _repeat(data: bytes, _: str, dice: random.Random) -> bytes:
    start = dice.randrange(len(data) + 1)
    piece = data[start : start + dice.choice([1, 10, 1000])]
    return data[:start] + piece * dice.choice([2, 10, 1000, 20_000 // max(1, len(piece))]) + data[start:]


def _swap(data: bytes, _: str, dice: random.Random) -> bytes:
    first, second, third = sorted(dice.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def _directory(data: bytes, kind: str, dice: random.Random) -> bytes:
    """A change where Parquet keeps what it believes, and the end as it should be."""
    if kind != "parquet" or len(data) < 12:
        return data
    size = min(int.from_bytes(data[-8:-4], "little"), len(data) - 12)
    body, believed = data[: len(data) - 8 - size], data[len(data) - 8 - size : -8]
    change = dice.choice((_flip, _number, _swap))
    believed = change(believed, kind, dice)
    return body + believed + len(believed).to_bytes(4, "little") + b"PAR1"


def limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def main(seed: int, minutes: float) -> int:
    print(f"fuzz: SEED={seed} MINUTES={minutes:g}", flush=True)
    dice = random.Random(seed)
    settings = Settings()
    folder = Path(tempfile.mkdtemp(prefix="bulkqa-fuzz-"))
    path = folder / "input"
    (folder / "seed").write_text(f"{seed}\n")
    with (folder / "crash").open("w") as crash:
        faulthandler.enable(crash)
        pa.set_cpu_count(1)
        limit_memory()
        outcomes: Counter[tuple[str, str]] = Counter()
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            kind, data = made(dice)
            path.write_bytes(data)
            try:
                outcomes[kind, keeps_promises(path, settings)] += 1
            except Exception:  # all that is none of ours, and what was promised and not kept
                traceback.print_exc()
                print(f"SEED={seed}, file {sum(outcomes.values())} ({kind}): {path}", flush=True)
                return 1
        faulthandler.disable()
    shutil.rmtree(folder)
    print(f"{sum(outcomes.values())} files, each read or refused, and by check as by submit")
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"  {count:6}  {kind:9} {outcome}")
    return 0


if __name__ == "__main__":
    chosen = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    sys.exit(main(chosen, float(os.environ.get("MINUTES") or 1)))
