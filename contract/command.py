"""What the commands `producer` and `worker` have in common: how they begin, say their version, and end."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

from contract.errors import INTERRUPTED, BulkqaError


def main(package: str) -> None:
    """Import `package.cli` and run its `app`. Every error of ours ends in a message and its exit code, never in a
    traceback."""
    # Until the command runs there is nothing to tidy up: Ctrl-C while modules are imported just ends the process.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    app = import_module(f"{package}.cli").app
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app()
    except BulkqaError as error:
        print(f"{package}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:  # stdout on a full disk, a name too long, and the like
        print(f"{package}: {error}", file=sys.stderr)
        sys.exit(1)


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
