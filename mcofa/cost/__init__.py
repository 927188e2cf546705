"""What archs cost: one, whole populations, and by stage."""
