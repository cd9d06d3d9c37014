"""What is read of a job: its predictions as lines, as a table, and into files.

`lines` gives them in row order, ready or published; `typed` makes a table of them, with the input's own types that
`columns` kept; `output` writes them where they are asked for. What must not come in: submitting, waiting, printing.
"""
