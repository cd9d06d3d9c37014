"""The `worker` command, also as `python -m worker`."""

import sys

from worker import health


def main() -> None:
    """Run the command. A probe is answered before anything heavy is imported."""
    if (status := health.answer(sys.argv[1:])) is not None:
        sys.exit(status)
    from contract import command

    command.main("worker")


if __name__ == "__main__":
    main()
