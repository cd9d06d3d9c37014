"""What a producer does with a job: submit, check, find, follow, verify, diff, logs, remove. One file each."""
