"""What reports print, in every format."""
