"""Parquet into rows: `file` decodes in bounded memory."""
