"""Damaged files for the command line, and what it may and may not do with them."""
