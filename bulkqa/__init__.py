"""Submit files of questions and contexts, watch the jobs, read the predictions.

from bulkqa import Client

job = Client().submit("questions.csv")
job.wait()
job.results()        # a pandas DataFrame

This package only exports what users import; the code is in `producer`, `worker` and `contract`. Importing it loads
neither pandas nor pyarrow: each name is imported on first use.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contract import errors
    from contract.format.job import Options
    from producer.api.aio import AsyncClient, AsyncJob
    from producer.api.client import Client
    from producer.api.display import JobProgress
    from producer.api.job import Job
    from producer.input.options import ReadOptions
    from worker.pipeline.pipeline import pipeline

__all__ = ["AsyncClient", "AsyncJob", "Client", "Job", "JobProgress", "Options", "ReadOptions", "errors", "pipeline"]

#: The module of each name.
_MODULES = {
    "AsyncClient": "producer.api.aio",
    "AsyncJob": "producer.api.aio",
    "Client": "producer.api.client",
    "Job": "producer.api.job",
    "JobProgress": "producer.api.display",
    "Options": "contract.format.job",
    "ReadOptions": "producer.input.options",
    "errors": "contract.errors",
    "pipeline": "worker.pipeline.pipeline",
}
#: The packages that the API needs, and the folder in which all of them are. `worker` is loaded only for a pipeline.
_PACKAGES = ("contract", "producer")
_ROOT = Path(__file__).resolve().parents[1]


def _load_packages(*more: str) -> None:
    """Import the packages next to this one, even if a script's own `producer.py` comes first on the path.

    Raises ImportError if another module of the same name is already imported.
    """
    for name in (*_PACKAGES, *more):
        if name in sys.modules:
            file = sys.modules[name].__file__
            if file is None or Path(file).resolve().parents[1] != _ROOT:
                raise ImportError(
                    f"bulkqa needs its package {name!r}, but {file or name} is already imported: rename that"
                )
            continue
        spec = PathFinder.find_spec(name, [str(_ROOT)])
        if spec is None or spec.loader is None:
            raise ImportError(f"bulkqa is only partly installed: {_ROOT / name} is missing")
        sys.modules[name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _load_packages(*(["worker"] if name == "pipeline" else []))
    module = import_module(_MODULES[name])
    value = module if name == "errors" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
