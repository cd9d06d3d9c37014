"""Keys of rows, and the outcomes that a chunk's rows carry from another job.

An answer depends on the row, the model and the options only. So a row with the question and context of a row that was
scored before, with the same model and options, carries that outcome, and is not scored. The producer finds such rows
(`producer.reuse`); the worker decides whether to use what they carry (`worker.reuse`). Must not import: ledger.
"""
