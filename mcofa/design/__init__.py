"""Designing search spaces for a board."""
