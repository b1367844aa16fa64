"""Parquet: schemas, writer, reader, range-reading filesystem, rows by RowPlace."""
