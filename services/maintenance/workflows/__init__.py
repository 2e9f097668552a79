"""What maintenance runs; `run` of each reads as a table of contents."""
