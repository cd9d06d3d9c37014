"""One side of `benchmarks.peers`: answers all rows of a file and prints seconds, answers and memory as JSON.

    python peers_script.py ours|BATCH MODEL ROWS.json THREADS

Loading the model and one warm-up row do not count.
"""

import json
import resource
import sys
import time
from pathlib import Path

how, model, file, threads = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
rows = json.loads(file.read_text())

if how == "ours":
    from concurrent.futures import ThreadPoolExecutor

    from contract.format.job import Options, Row
    from worker.reader.reader import Reader
    from worker.scoring import Watch, score

    reader = Reader.open(model)
    numbered = [Row(number, row["question"], row["context"]) for number, row in enumerate(rows)]
    options = Options(no_answer_threshold=1000.0)
    with ThreadPoolExecutor(threads) as pool:
        score(numbered[:1], reader, options, pool, threads, Watch())
        started = time.perf_counter()
        answers = [made["answer"] for made in score(numbered, reader, options, pool, threads, Watch())]
        seconds = time.perf_counter() - started
else:
    import torch
    from transformers import pipeline

    torch.set_num_threads(threads)
    # The checkpoint is stored in fp16, in which a CPU is three times slower.
    answer = pipeline("question-answering", str(model), tokenizer=str(model), device="cpu", dtype=torch.float32)
    inputs = [{"question": row["question"], "context": row["context"]} for row in rows]
    options = {"max_seq_len": 384, "doc_stride": 128, "max_answer_len": 30, "batch_size": int(how)}
    answer(inputs[:1], **options)
    started = time.perf_counter()
    answers = [made["answer"] for made in answer(inputs, **options)]
    seconds = time.perf_counter() - started

rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "answers": answers, "rss": rss}))
