"""Generated files: templates, and how text from elsewhere is written in each of their languages."""
