"""What a producer does with jobs, one file per verb: submit, check, find, follow, answer, select, verify, diff, logs,
usage, remove. What must not come in: reading flags, printing, HTTP."""
