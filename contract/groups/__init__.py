"""Groups: the one best answer to a question over several passages, from the predictions of a job.

`choose` reduces the passages of one group, `reduce` all predictions of a job, whose groups may be scattered over it.
What must not come in: models, storage, the queue. The same predictions give the same bytes.
"""
