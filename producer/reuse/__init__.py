"""Which rows of a new file were scored before, and what they carry; retrying a job; rescoring reused rows, to compare.

Finds and copies. The worker decides whether to use a carried outcome (`worker.reuse`). Must not import: jobs.
"""
