"""The formats of everything that is stored or crosses a process: the records of a job, their keys, its files.

`job` has the records, `codec` turns records into JSON and back, `layout` has every storage key, `chunk` and `part` are
the files between producer and worker, `document`, `csvfile` and `errorfile` the outputs. `failure` is an error as JSON,
`nesting` limits how deep a user's JSON may be. All is pure: bytes and values in and out. Must not import: storage, the
queue, clocks, anything that decides what happens to a job.
"""
