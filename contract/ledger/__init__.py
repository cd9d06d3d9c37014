"""A job goes on, whatever was lost: where it stands, what is missing, who is to be sent what, and its outputs.

`progress`, `tally` and `quarantine` decide and are pure; `records` reads and writes a job's records, `counting` what
its parts add up to; `reconcile` brings a job forward, `order` says whose turn it is, and `sweeper` does so for all
jobs; `assemble` publishes what is complete. What must not come in: models, the files of users, Celery.
"""
