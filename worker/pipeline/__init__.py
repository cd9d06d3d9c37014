"""Answers in the caller's own process: no Redis, no storage, no server.

`pipeline` takes and gives what transformers' question-answering pipeline did. `arguments` reads its calls, `words`
moves an answer to whole words, `models` finds or builds a model directory, `engine` answers rows on threads. What must
not come in: jobs, storage, the queue.
"""
