"""Read files that anybody may have written: plain data, small, and of the types that are expected."""
