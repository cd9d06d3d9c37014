"""The `worker` command, also as `python -m worker`."""

from contract import command


def main() -> None:
    """Run the command."""
    command.main("worker")


if __name__ == "__main__":
    main()
