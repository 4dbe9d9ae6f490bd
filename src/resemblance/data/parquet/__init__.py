"""Images in Parquet files, in a folder or on the Hugging Face Hub."""
