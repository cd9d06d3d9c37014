"""The `producer` command: parses, calls, prints. Data goes to stdout, progress and messages to stderr.

`options` declares every flag, `run` and `jobs` are the commands, `view` is what people see. Heavy modules are imported
inside the commands, so that `--help` is quick. What must not come in: decisions.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from contract.errors import INTERRUPTED, BulkqaError
from producer.cli import asking, jobs, keeping
from producer.cli.run import run

app = typer.Typer(
    help="Answer a file of questions and contexts: submit it, watch the job, read the predictions.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = {
    "run": run,
    "submit": jobs.submit,
    "status": jobs.status,
    "list": jobs.list_jobs,
    "results": jobs.results,
    "cancel": jobs.cancel,
    "repair": jobs.repair,
    "check": jobs.check,
    "verify": jobs.verify,
    "diff": jobs.diff,
    "workers": asking.workers,
    "logs": asking.logs,
    "du": keeping.du,
    "delete": keeping.delete,
    "gc": keeping.gc,
}
for _name, _command in _COMMANDS.items():
    # The first line of its docstring, given as it is: what typer takes by itself is cut to fit the line.
    app.command(_name, short_help=(_command.__doc__ or "").partition("\n")[0])(_command)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"bulkqa {version('bulkqa')}")
        raise typer.Exit


@app.callback()
def _of_all(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Answer a file of questions and contexts: submit it, watch the job, read the predictions."""


def main() -> None:
    """Run the command; every error of ours ends in a message and its exit code, never in a traceback."""
    os.environ.setdefault("TERM", "dumb")
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # so that modules could be imported (`__main__`)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app()
    except BulkqaError as error:
        print(f"producer: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:  # stdout on a full disk, a name too long, and the like
        print(f"producer: {error}", file=sys.stderr)
        sys.exit(1)
