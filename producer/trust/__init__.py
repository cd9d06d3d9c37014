"""Which answers to rely on: a sample of rows to judge, and from what precision a score promises, given the judgements.

`promise` has the statistics and is pure, `sample` draws the rows, `labels` reads and writes the file of judgements,
`sheet` any file to fill in; `compare` tells which of two jobs is better.
"""
