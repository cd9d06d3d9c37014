"""Submit files of questions and contexts, watch the jobs, read the predictions.

from producer import Client

job = Client().submit("questions.csv")
job.wait()
job.results()        # a pandas DataFrame

Importing this loads neither pandas nor pyarrow: what needs them comes when it is asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Arrow decides when it is first imported. Its own allocator takes up to a GiB at a time and hands that out itself: the
# limit on what reading may take (`producer.input.memory`) then bounds the taking, not the use. The system's asks the
# kernel for what is needed, and is no slower here. Worker processes are their own: they read chunks that we wrote.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


from contract import errors
from producer.client import Client, Job

if TYPE_CHECKING:
    from contract.format.job import Options
    from producer.aio import AsyncClient, AsyncJob
    from producer.input.options import ReadOptions
    from producer.show import JobProgress

__all__ = ["AsyncClient", "AsyncJob", "Client", "Job", "JobProgress", "Options", "ReadOptions", "errors"]

_LATER = {
    "AsyncClient": "producer.aio",
    "AsyncJob": "producer.aio",
    "JobProgress": "producer.show",
    "Options": "contract.format.job",
    "ReadOptions": "producer.input.options",
}


def __getattr__(name: str) -> Any:
    """What is heavy to import, when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
