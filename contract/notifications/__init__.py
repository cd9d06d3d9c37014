"""Telling somebody that a job has ended: an event to a URL, at least once, whatever dies (`producer submit --notify`).

`record` is what is owed, what was tried and when it is tried again; `address` where an event may go to; `send` does it,
in the sweeper's process. What must not come in: anything that a job needs to go on.
"""
