"""Tables: files in CSV or Parquet, read into columns of known types; every dropped cell is counted in a note."""
