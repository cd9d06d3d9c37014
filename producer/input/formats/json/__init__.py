"""JSON into rows: `lines` reads an object a line, `documents` finds the rows in anything else."""
