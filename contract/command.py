"""What the commands `producer` and `worker` have in common: how they begin, say their version, and end."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

from contract.errors import INTERRUPTED, BulkqaError


def program(module: str) -> list[str]:
    """The command line that runs a module of this installation as a process.

    `-P` keeps the current folder off the child's path, where a user's own `worker.py` would be imported instead.
    """
    return [sys.executable, "-P", "-m", module]


def main(package: str) -> None:
    """Import `package.cli` and run its `app`. Every error of ours ends in a message and its exit code, never in a
    traceback."""
    # Until the command runs there is nothing to tidy up: Ctrl-C while modules are imported just ends the process.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    app = import_module(f"{package}.cli").app
    if interruptible:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except BulkqaError as error:
        print(f"{package}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _leave_interrupted()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _leave_interrupted()
        raise
    except OSError as error:  # stdout on a full disk, a name too long, and the like
        print(f"{package}: {error}", file=sys.stderr)
        sys.exit(1)


def heed_endings() -> None:
    """Have what was started stopped in order, as by Ctrl-C, when the terminal closes or this process is told to end."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) == signal.SIG_DFL:
            signal.signal(ending, _interrupt)


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if there was one and the program goes on: Python drops what is raised in the callbacks
    of a fork, or of the end of an object. For loops that last; code that tidies up after one calls nothing of this."""
    if _interrupted:
        raise KeyboardInterrupt


_interrupted = False


def _interrupt(*_: Any) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def _leave_interrupted() -> None:
    """End with our exit status. Left to itself, CPython ends by SIGINT wherever the interrupt struck in code that is
    made of text, as dataclasses and named tuples are, whoever caught it later."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(INTERRUPTED)


def without_pandas() -> None:
    """Let this process have no pandas. pyarrow looks for it at the first array that it makes, and imports it where it
    is installed: 0.7 s and 40 MiB for what only the Python API uses."""
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("commands do without pandas", name=fullname)


def say_version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    """The callback of `--version`: print it and leave."""
    if asked:
        from importlib.metadata import version

        print(f"bulkqa {version('bulkqa')}")
        sys.exit()
