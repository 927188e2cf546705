"""The runtimes that execute a model on this machine."""
