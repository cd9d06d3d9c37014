"""Which answers to rely on: a sample to judge, verdicts, what they promise; which of two jobs is better.

`promise` has the statistics and is pure, `sample` draws the rows, `judge` stores verdicts (`verdicts`) and says what
they promise, `split` applies the promise to the next job. `labels` reads and writes the file of verdicts, `sheet` any
file to fill in; `compare` compares two jobs.
"""
