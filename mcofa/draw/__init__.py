"""Pictures as SVG and text."""
