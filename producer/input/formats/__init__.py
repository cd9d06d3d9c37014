"""A folder or a file for each format: `csv`, `json`, `parquet`, `excel`. Each gives a `DataFile`, whose batches are
`Rows`, with the faults of rows.

`lines` and `records` are common to text formats, `fields` to CSV and Excel. Must not know where the bytes come from, or
row numbers.
"""
