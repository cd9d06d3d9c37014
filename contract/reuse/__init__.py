"""Outcomes that a job takes over from another: the keys of rows, and the outcomes that they carry beside a chunk.

An answer depends on the row, the model and the options only. So a row whose question and context are those of a row
that was scored before, with the same model and options, carries that outcome, and is not scored. The producer finds
such rows (`producer.reuse`); the worker decides whether to use what they carry (`worker.reuse`). Must not import:
ledger.
"""
