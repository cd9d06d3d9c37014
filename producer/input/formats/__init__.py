"""One format each into records, with what is wrong with each: CSV (`csv`), JSON (`jsonl`, `documents`), Parquet
(`parquet`) and Excel (`excel`).

What must not come in: where the bytes come from, which columns are asked for, and row numbers.
"""
