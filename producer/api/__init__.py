"""The Python API: `Client` and `Job` (`client`), the same for asyncio (`aio`).

`data` decides what a submitted thing is, `arrow` and `pandas` make tables and frames of it and of the answers,
`arguments` checks what methods are given, `display` shows a job in a notebook. What must not come in: decisions about
jobs, which are the backend's.
"""
