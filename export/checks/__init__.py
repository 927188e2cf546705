"""What a run's files are held against: runtimes, test images, budgets."""
