"""Judged answers for use elsewhere: `squad` to measure and train models, `labelstudio` to judge there and back again;
`labels` joins verdicts with their rows."""
