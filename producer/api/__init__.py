"""The Python API: `Client` and `Job` (`client`), and the same for asyncio (`aio`).

`data` recognizes submitted data, `arrow` and `pandas` convert it and the answers, `arguments` checks arguments,
`connection` connects, `display` shows a job in a notebook. Decisions about jobs do not belong here: they are the
backend's.
"""
