"""Files as real programs write them, read back cell by cell."""
