"""Errors of the Python API: those of `contract.errors` only, with remedies in keywords and calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from contract.errors import BulkqaError, StorageUnreachable
from contract.remedy import TERMINAL, Call, Remedy

P = ParamSpec("P")
T = TypeVar("T")


class Keywords:
    """The words of Python: `encoding='UTF-16'`, `Client.job('...').wait()`."""

    separator = ", "

    def option(self, name: str, value: object) -> str:
        """A keyword of `submit`."""
        return name if value is None else f"{name}={value!r}"

    def call(self, call: Call) -> str:
        """A method of the client or a job; the command if there is no such method."""
        job = f"Client.job({call.job!r})" if call.job else "Job"
        arguments = ", ".join(f"{flag}=True" for flag in call.flags)
        match call.verb:
            case "list":
                return "Client.jobs()"
            case "workers":
                return "Client.workers()"
            case "repair":
                return f"{job}.wait()"
            case "results":
                return f"{job}.predictions()"
            case "status" | "cancel" | "delete" | "sample" | "trust":
                return f"{job}.{call.verb}({arguments})"
        return TERMINAL.call(call)


KEYWORDS = Keywords()


def in_keywords(remedy: str | None) -> str | None:
    """A remedy in the words of Python."""
    return remedy.render(KEYWORDS) if isinstance(remedy, Remedy) else remedy


@contextmanager
def api_errors() -> Iterator[None]:
    """Raise errors as the API raises them, around the work of a method."""
    try:
        yield
    except BulkqaError as error:
        error.remedy = in_keywords(error.remedy)
        raise
    except OSError as error:
        raise StorageUnreachable(f"the storage failed: {error}") from error


def raises_api_errors(method: Callable[P, T]) -> Callable[P, T]:
    """A method of the API, raising errors as the API does."""

    @wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with api_errors():
            return method(*args, **kwargs)

    return wrapper
