"""CSV into rows: `blocks` reads whole blocks of well-formed records, `parser` all others one by one.

`escapes` rewrites backslashes, `header` reads the first line, `file` joins them.
"""
