"""Reuse: which rows of a new file were scored before, and what they carry over; a job tried again; reused rows scored
again to compare.

Finds and copies. Whether a carried outcome is used decides the worker (`worker.reuse`). Must not import: jobs.
"""
