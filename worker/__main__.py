"""The `worker` command, also as `python -m worker`.

Ctrl-C while modules are imported ends the process without a traceback: until `main` runs there is nothing to tidy up.
"""

import signal


def main() -> None:
    """Import the command and run it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from worker.cli import main as run

    run()


if __name__ == "__main__":
    main()
