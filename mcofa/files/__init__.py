"""Files: written whole or not at all, read strictly, and found in a checkout as in a wheel."""
