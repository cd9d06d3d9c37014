"""Files that people have, made by the programs they have them from, and read back cell by cell."""
