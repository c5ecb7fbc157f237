"""Tasks from tables of one's own: CSV and Parquet files."""
