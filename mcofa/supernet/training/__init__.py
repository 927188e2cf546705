"""Training a supernet, phase by phase."""
