"""The Lua scripts in `lua/`, by name. Redis runs each as one step. Times are by the clock of Redis.

They read data that anybody may have written: a value that is not a number counts as unknown.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def lua(name: str) -> str:
    """The text of a script."""
    return (files("contract.queue") / "lua" / f"{name}.lua").read_text("utf-8")
