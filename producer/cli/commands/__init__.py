"""The commands, a function each: their flags are parsed already, what they print is `producer.cli.view`'s."""
