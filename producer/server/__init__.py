"""`producer serve`: jobs over HTTP and a page for a browser, in front of the storage and the Redis of the workers.

`app` puts the application together, `run` serves it. `routes` are the requests; `access` is who may send them and how
many, `shares` how much of the server's work each client has at once; `problems` are the errors, `openapi` the document
that describes all of it, `metrics` what Prometheus scrapes. `uploads/` receives files and has each read by a child;
`submission` is the options that come with them. `page` is what a browser loads. What must not come in: decisions about
jobs. Only this room imports a web framework.
"""
