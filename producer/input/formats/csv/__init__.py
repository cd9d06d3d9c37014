"""CSV into records: `blocks` reads what is well-formed at a time, `parser` the rest row by row.

`lines` finds where lines end, `fields` where fields do, `escapes` rewrites backslashes, `header` names the columns.
"""
