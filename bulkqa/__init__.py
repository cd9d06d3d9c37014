"""Submit files of questions and contexts, watch the jobs, read the predictions.

from bulkqa import Client

job = Client().submit("questions.csv")
job.wait()
job.results()        # a pandas DataFrame

This package only hands out what users import; the code is in `producer`, `worker` and `contract`. Importing it loads
neither pandas nor pyarrow: a name is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contract import errors
    from contract.format.job import Options
    from producer.api.aio import AsyncClient, AsyncJob
    from producer.api.client import Client, Job
    from producer.api.display import JobProgress
    from producer.input.options import ReadOptions

__all__ = ["AsyncClient", "AsyncJob", "Client", "Job", "JobProgress", "Options", "ReadOptions", "errors"]

#: Where each name is: a module, or a name in it.
_PLACES = {
    "AsyncClient": "producer.api.aio",
    "AsyncJob": "producer.api.aio",
    "Client": "producer.api.client",
    "Job": "producer.api.client",
    "JobProgress": "producer.api.display",
    "Options": "contract.format.job",
    "ReadOptions": "producer.input.options",
    "errors": "contract",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = import_module(_PLACES[name])
    found = import_module(f"{_PLACES[name]}.{name}") if name == "errors" else getattr(place, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
