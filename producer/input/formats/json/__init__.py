"""JSON into rows: one object per line (`lines`), or the rows of anything else (`documents`); `file` tells which.

`values` parses, and splits objects into the columns of a row.
"""
