"""The reader: the model that answers. A question and a context in, an answer out; no job, no storage, no queue.

`reader.Reader` joins `encode` (text into windows), `session` (windows into logits; with `batch` on a GPU) and `decode`
(logits into an answer); `model` describes a model directory. This file imports nothing: a worker's parent process reads
descriptions, and must not load the runtime before it forks.
"""
