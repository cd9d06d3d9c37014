"""One side of `benchmarks.peers`: answers all rows of a file and prints seconds, answers and memory as JSON.

    python peers_script.py ours|pipeline|defaults|BATCH MODEL ROWS.json THREADS

`ours` scores as a worker does, `pipeline` calls `bulkqa.pipeline`, `defaults` and a size of batches transformers'. The
file has rows, or an object of `rows` and the `options` of a call. Loading the model and one warm-up row do not count;
how long they take is told.
"""

import json
import resource
import sys
import time
from itertools import combinations
from pathlib import Path

how, model, file, threads = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
read = json.loads(file.read_text())
rows, options = (read, {}) if isinstance(read, list) else (read["rows"], read["options"])
begun = time.perf_counter()

if how == "ours":
    from concurrent.futures import ThreadPoolExecutor

    from contract.format.job import Options, Row
    from worker.reader.open import open_reader
    from worker.scoring import Watch, score

    reader = open_reader(model)
    numbered = [Row(number, row["question"], row["context"]) for number, row in enumerate(rows)]
    always = Options(no_answer_threshold=1000.0)
    with ThreadPoolExecutor(threads) as pool:
        score(numbered[:1], reader, always, pool, threads, Watch())
        first = time.perf_counter() - begun
        started = time.perf_counter()
        results = score(numbered, reader, always, pool, threads, Watch())
        seconds = time.perf_counter() - started
elif how == "pipeline":
    from bulkqa import pipeline

    answer = pipeline("question-answering", str(model), num_workers=threads)
    inputs = [{"question": row["question"], "context": row["context"]} for row in rows]
    answer(inputs[0], **options)
    first = time.perf_counter() - begun
    started = time.perf_counter()
    results = answer(inputs, **options)
    seconds = time.perf_counter() - started
else:
    import torch
    from transformers import pipeline

    torch.set_num_threads(threads)
    # The checkpoint is stored in fp16, in which a CPU is three times slower.
    answer = pipeline("question-answering", str(model), tokenizer=str(model), device="cpu", dtype=torch.float32)
    inputs = [{"question": row["question"], "context": row["context"]} for row in rows]
    if how != "defaults":
        options |= {"max_seq_len": 384, "doc_stride": 128, "max_answer_len": 30, "batch_size": int(how)}
    answer(inputs[:1], **options)
    first = time.perf_counter() - begun
    started = time.perf_counter()
    results = answer(inputs, **options)
    seconds = time.perf_counter() - started

lists = [made if isinstance(made, list) else [made] for made in results]
overlapping = [any(a["start"] < b["end"] and b["start"] < a["end"] for a, b in combinations(made, 2)) for made in lists]
about = {
    "seconds": seconds,
    "first": first,
    "answers": [made[0]["answer"] for made in lists],
    "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "above": sum(sum(each["score"] for each in made) > 1.0001 for made in lists),  # rows whose scores are more in all
    "overlaps": sum(overlapping),
}
print(json.dumps(about))
