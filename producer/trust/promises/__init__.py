"""What judgements promise that are kept with a job, and may be looked at at any time: `looks` has the statistics,
`trusted` the document that every interface gives. Pure."""
