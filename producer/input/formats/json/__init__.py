"""JSON into rows: an object a line (`lines`), or the rows of anything else (`documents`); `file` tells which.

`values` parses, and takes objects apart into the columns of a row.
"""
