"""What the commands `producer` and `worker` share: how they start, print their version, and end."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

from contract.errors import INTERRUPTED, BulkqaError, printable

#: The commands that log.
_LOGGING = (["start"], ["sweep"], ["serve"])


def program(module: str) -> list[str]:
    """The command line that runs a module of this installation as a process.

    `-P` keeps the current folder off the child's path, where a user's own `worker.py` would be imported instead.
    """
    return [sys.executable, "-P", "-m", module]


def main(package: str) -> None:
    """Import `package.cli` and run its `app`. A BulkqaError becomes a message and an exit code, never a traceback."""
    _have_streams()
    # Until the command runs there is nothing to clean up: Ctrl-C during the imports just ends the process.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal's encoding lacks is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app = import_module(f"{package}.cli").app
    if interruptible:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except BulkqaError as error:
        _complain(package, str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _exit_interrupted()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _exit_interrupted()
        raise
    except OSError as error:  # stdout on a full disk, a name that is too long, and so on
        _complain(package, printable(str(error)))
        sys.exit(1)


def _complain(package: str, text: str) -> None:
    """Say why a command ends: as a line of its log, if that is or would have been JSON."""
    from contract import logs

    if os.environ.get("BULKQA_LOG_FORMAT") == "json" and sys.argv[1:2] in _LOGGING:  # its settings may be what is wrong
        logs.set_up("json", "INFO")
    if logs.is_json():
        logs.log.critical("%s: %s", package, text)
    else:
        print(f"{package}: {text}", file=sys.stderr)


def _have_streams() -> None:
    """Replace streams that were closed before this process began (`>&-`, cron, daemons), so that no file of ours takes
    their number, and no write fails. A closed stdin stays None: its reader reports that."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, mode), number)
            os.set_inheritable(number, True)  # noqa: FBT003 - positional only
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - until the process ends
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        print("standard output is closed: nothing is printed there", file=sys.stderr)


def interrupt_on_signals() -> None:
    """Treat SIGTERM, and SIGHUP of a closed terminal, like Ctrl-C: processes that were started are stopped in order."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if there was one that Python dropped, as it does with exceptions in the callbacks of a
    fork or in `__del__`. For long loops; not for code that cleans up after an interrupt."""
    if _interrupted:
        raise KeyboardInterrupt


_interrupted = False


def _interrupt(*_: Any) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def _exit_interrupted() -> None:
    """End with our exit status. CPython itself would end by SIGINT if the interrupt struck in code compiled from text,
    such as that of dataclasses and named tuples, even if the exception was caught."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(INTERRUPTED)


def block_pandas() -> None:
    """Keep pandas out of this process. pyarrow imports it, if it is installed, with the first array that it makes:
    0.7 s and 40 MiB for a package that only the Python API uses."""
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("commands do not use pandas", name=fullname)


def print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    """The callback of `--version`: print the version and exit."""
    if wanted:
        from importlib.metadata import version

        print(f"bulkqa {version('bulkqa')}")
        sys.exit()
