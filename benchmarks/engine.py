"""The worker's reader on the rows of a file, without queue and storage; or a bare loop over prepared inputs.

    python -m benchmarks.engine MODEL_DIR ROWS.json THREADS [bare]

Prints the seconds for the rows, without loading the model. Other benchmarks run it in a process of its own.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contract.format.job import Options, Row
from worker.reader.open import open_reader
from worker.scoring import Watch, score

directory, rows, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
pairs = [tuple(pair) for pair in json.loads(rows.read_text())]
reader = open_reader(directory)
pool = ThreadPoolExecutor(threads)
if sys.argv[4:] == ["bare"]:
    windows = [w for question, context in pairs for w in reader._encoder.encode(question, context, Options()).windows]
    started = time.perf_counter()
    list(pool.map(reader._session.run, windows))
else:
    numbered = [Row(number, *pair) for number, pair in enumerate(pairs)]
    started = time.perf_counter()
    score(numbered, reader, Options(), pool, threads, Watch())
print(time.perf_counter() - started)
