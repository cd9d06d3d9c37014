"""How likely an answer is right: `probability` has the statistics and is pure, `record` makes them once for a job."""
