"""What lies in storage, and nothing else: the records of a job, their keys, and the formats of its files.

Hands out `job` (the records), `layout` (every storage key), `chunk` and `part` (the files between producer and worker)
and `nesting` (how deep JSON of a user may be). All is pure: bytes and values in and out. What must not come
in: storage, the queue, clocks, and anything that decides what happens to a job.
"""
