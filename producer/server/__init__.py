"""`producer serve`: jobs over HTTP, and a page for a browser, in front of the storage and the Redis of the workers.

`app` puts it together. `jobs` and `answers` are the routes, each a call of `producer.jobs` or `contract.ledger`;
`access` says who may ask, and how much; `problems` what an error looks like; `uploads` has a file read by a child,
`reading`; `page` is what the browser gets.
What must not come in: decisions about jobs. A web framework is imported in this room only.
"""
