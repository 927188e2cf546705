"""Training side of mcofa: everything that needs torch."""
