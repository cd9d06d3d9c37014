"""`producer serve`: jobs over HTTP, and a page for a browser, in front of the storage and the Redis of the workers.

`app` puts it together, `run` serves it. `routes` is what can be asked;
`access` says who may ask, and how much; `problems` what an error looks like, `openapi` what all of it does, `metrics`
what Prometheus is told; `uploads` has a file read by a child, `reading`; `page` is what the browser gets.
What must not come in: decisions about jobs. A web framework is imported in this room only.
"""
