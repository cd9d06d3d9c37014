"""What producers and workers promise each other: records, keys, storage, queue and the ledger of a job.

Nothing in here loads a model or reads a user's file; `producer` and `worker` stand on this package and never on
each other.
"""
