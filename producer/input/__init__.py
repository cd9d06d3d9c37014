"""A file of any kind into checked rows, in tables in the schema of a job's chunks.

`open` is what others call. `location` says where an input is, `files` opens its files, `raw` has their bytes and
`unpack` decompresses them. `detect` picks the format, `formats` give rows, `columns` says which column is what,
`checks` says which rows can be scored, and `rows` cuts. Must not import: storage, the queue, and jobs.
"""
