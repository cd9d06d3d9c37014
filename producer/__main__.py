"""The `producer` command, also as `python -m producer`."""

from contract import command


def main() -> None:
    """Run the command."""
    command.block_pandas()
    command.main("producer")


if __name__ == "__main__":
    main()
