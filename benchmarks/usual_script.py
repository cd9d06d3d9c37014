"""The usual script for extractive question answering: all rows in one padded batch, two independent argmaxes.

    python -m benchmarks.usual_script GRAPH.onnx tokenizer.json ROWS.json THREADS

Prints the seconds for the rows, without loading the model. One thing is better than usual: rows longer than the model's
512 positions are cut, where most scripts crash.
"""

import json
import sys
import time

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

graph, vocabulary, rows, threads = sys.argv[1:5]
options = ort.SessionOptions()
options.intra_op_num_threads = int(threads)
session = ort.InferenceSession(graph, options, ["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(vocabulary)
with open(rows) as file:  # noqa: PTH123 - as usual
    pairs = json.load(file)

started = time.perf_counter()
tokenizer.enable_truncation(512)
tokenizer.enable_padding()
encoded = tokenizer.encode_batch([tuple(pair) for pair in pairs])
feed = {
    "input_ids": np.array([e.ids for e in encoded], np.int64),
    "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
    "token_type_ids": np.array([e.type_ids for e in encoded], np.int64),
}
starts, ends = session.run(["start_logits", "end_logits"], feed)
answers = [
    tokenizer.decode(e.ids[int(start) : int(end) + 1])
    for e, start, end in zip(encoded, starts.argmax(1), ends.argmax(1), strict=True)
]
print(time.perf_counter() - started)
