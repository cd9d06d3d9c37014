"""Parquet into rows: `file` decodes in bounded memory, `rows` cuts batches, `convert` makes types that JSON has."""
