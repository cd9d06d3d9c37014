"""What was judged of a job, to be used elsewhere: `squad` to measure and train models, `labelstudio` to judge there,
and back again; `labels` joins verdicts with their rows.
"""
