"""Which answers to rely on: a sample of rows to judge, verdicts, and what they promise.

`promise` has the statistics and is pure, `sample` draws the rows, `labels` reads and writes the file of verdicts,
`sheet` any file to fill in; `compare` says which of two jobs is better.
"""
