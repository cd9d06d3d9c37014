"""The `producer` command: parses, calls, prints. Data goes to stdout, progress and messages to stderr.

`options` declares every flag, `run` and `jobs` are the commands, `view` is what people see. Heavy modules are imported
inside the commands, so that `--help` is quick. What must not come in: decisions.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from contract.command import print_version
from producer.cli import cleanup, jobs, monitoring
from producer.cli.run import run
from producer.cli.serve import serve

os.environ.setdefault("TERM", "dumb")
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
    "workers": monitoring.workers,
    "logs": monitoring.logs,
    "notifications": monitoring.notifications,
    "du": cleanup.du,
    "serve": serve,
    "delete": cleanup.delete,
    "gc": cleanup.gc,
}
for _name, _command in _COMMANDS.items():
    # The first line of its docstring, given as it is: what typer takes by itself is cut to fit the line.
    app.command(_name, short_help=(_command.__doc__ or "").partition("\n")[0])(_command)


@app.callback()
def _of_all(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Answer a file of questions and contexts: submit it, watch the job, read the predictions."""
