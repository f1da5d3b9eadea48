"""The engine: DuckDB over published snapshots; the only package that imports `duckdb`."""
