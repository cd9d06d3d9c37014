"""A file of any kind into checked rows, in tables in the schema of a job's chunks.

`source` is what others call; `opening` finds out what a file is, `folder` joins several. `stored` gives its bytes,
 `unpack` what compressed ones stand for;
`formats` make records of them; `columns` says which field is what; `rows` checks and cuts. What must not come in:
storage, the queue, and jobs.
"""
