"""Memory-constant Once-For-All networks for microcontrollers, from search to firmware."""

__version__ = "0.1.0"
