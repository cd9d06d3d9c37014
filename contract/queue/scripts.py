"""What Redis runs as one step: the scripts in `lua/`, by name. Times are Redis' own.

They read what anybody may have written: a value that is not a number counts as unknown.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def lua(name: str) -> str:
    """The text of a script."""
    return (files("contract.queue") / "lua" / f"{name}.lua").read_text("utf-8")
