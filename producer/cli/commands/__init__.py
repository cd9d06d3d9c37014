"""The commands, one function each. Their flags are parsed already; `producer.cli.view` prints."""
