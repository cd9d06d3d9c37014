"""What lies in storage or crosses a process: the records of a job, their keys, the formats of its files, an error.

Hands out `job` (the records), `layout` (every storage key), `chunk` and `part` (the files between producer and worker),
`nesting` (how deep the JSON of a user may be) and `failure` (an error as JSON). All is pure: bytes and values in and
out. What must not come in: storage, the queue, clocks, and anything that decides what happens to a job.
"""
