"""A job split by the promise of an earlier one: marks, counts, and whether the scores are alike. Pure."""
