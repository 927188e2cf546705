"""Search spaces, and archs: one choice in a space each."""
