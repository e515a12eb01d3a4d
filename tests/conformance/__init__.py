"""Google's own clients against the embedded property."""
