"""Firmware projects: rendered, built and emulated."""
