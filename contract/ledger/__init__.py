"""Moves a job forward, whatever was lost: its status, its missing chunks, what is sent next, its outputs.

`progress`, `tally`, `quarantine` and `reasons` decide and are pure. `stored` reads a job's manifest, chunks and parts,
`records` its other records, `counting` what its parts add up to, `events` how attempts ended. `reconcile` brings a job
forward, `order` decides which chunk is next, `assemble` publishes a complete job, and `sweeper` does so for all jobs.
What must not come in: models, the files of users, Celery.
"""
