"""Webhooks: when a job has ended, an event is posted to its URL, at least once, whatever dies.

`record` has the pending deliveries, their attempts and the retry schedule, `address` the allowed URLs. `send` posts
events, in the sweeper's process. Must not hold: anything that jobs depend on.
"""
