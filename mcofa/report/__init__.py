"""A run as a table and as one HTML page."""
