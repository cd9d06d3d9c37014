"""What a producer does with a job: submit, check, follow, output, verify, diff. A file each; none of them prints."""
