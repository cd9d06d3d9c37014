"""Which rows of a new file were scored before, and what they carry; retrying a job; scoring reused rows again to
compare.

Finds and copies. The worker decides whether to use a carried outcome (`worker.reuse`). Must not import: jobs.
"""
