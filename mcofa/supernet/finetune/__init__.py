"""Training the chosen subnet further."""
