"""The `producer` command: parses, calls, prints. Data goes to stdout, progress and messages to stderr.

`options` declares the flags, `flags` hands them to typer; `commands/` has the commands; `view` and `tables` print.
Heavy modules are imported inside the commands, to keep `--help` quick. Decisions do not belong here.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from contract.command import print_version
from producer.cli.commands import cleanup, jobs, monitoring
from producer.cli.commands.again import retry
from producer.cli.commands.compare import compare
from producer.cli.commands.forecast import forecast
from producer.cli.commands.labels import labels
from producer.cli.commands.run import run
from producer.cli.commands.serve import serve
from producer.cli.commands.trust import judge, sample, trust

_SUMMARY = "Answer files of questions and contexts: submit a file, watch its job, read the predictions."

os.environ.setdefault("TERM", "dumb")
app = typer.Typer(
    help=_SUMMARY,
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
    "pause": jobs.pause,
    "resume": jobs.resume,
    "retry": retry,
    "repair": jobs.repair,
    "check": jobs.check,
    "forecast": forecast,
    "verify": jobs.verify,
    "diff": jobs.diff,
    "compare": compare,
    "labels": labels,
    "sample": sample,
    "judge": judge,
    "trust": trust,
    "workers": monitoring.workers,
    "logs": monitoring.logs,
    "notifications": monitoring.notifications,
    "du": cleanup.du,
    "serve": serve,
    "delete": cleanup.delete,
    "gc": cleanup.gc,
}
for _name, _command in _COMMANDS.items():
    # The whole first line of its docstring: typer would cut it to the width of the terminal.
    app.command(_name, short_help=(_command.__doc__ or "").partition("\n")[0])(_command)


@app.callback(help=_SUMMARY)
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    pass
