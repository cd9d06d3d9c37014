"""Reading the results of a job: its predictions as lines, as pages, as a table, and into files.

`lines` gives them in row order, ready or published; `pages` a few at a time, with filters; `scores` how they are
spread. `typed` makes a table of them in the input's own types, which `columns` stores. `output` writes them, into a
`folder` or by `upload` too. What must not come in: submitting, waiting, printing.
"""
