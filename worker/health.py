"""`worker health`, for probes: it runs every few seconds in a pod with little CPU, so it imports next to nothing.

`worker.__main__` answers the plain command from here, without typer and the settings. The same is printed if the
command goes through `worker.cli`, as with `--help`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from contract.health import read_health

_VARIABLE = "BULKQA_HEALTH_FILE"


def answer(arguments: Sequence[str]) -> int | None:
    """Run `worker health` and return its exit status; None if these are not its arguments, or need a parser."""
    if list(arguments[:1]) != ["health"]:
        return None
    path, as_json = os.environ.get(_VARIABLE, ""), False
    rest = list(arguments[1:])
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag == "--json" and not equals:
            as_json = True
        elif flag == "--health-file" and (equals or rest):
            path = value if equals else rest.pop(0)
        else:
            return None
    return show(Path(path) if path else None, as_json=as_json)


def show(first: Path | None, *, as_json: bool) -> int:
    """Print the health of the processes with that first file, or of all of this user. Returns the exit status."""
    processes = read_health(first)
    if as_json:
        import json

        print(json.dumps([{"name": p.name, "well": p.healthy, "seconds": round(p.age, 1)} for p in processes]))
    elif not processes:
        print("not healthy: no worker and no sweeper has touched a health file here")
    for process in () if as_json else processes:
        state = "healthy" if process.healthy else "dead" if process.dead else "not healthy"
        print(f"{process.name}: {state}, last sign of life {process.age:.0f} s ago")
    return 0 if processes and all(process.healthy for process in processes) else 1
