"""Engine ``aot`` in firmware projects and in the arena check."""
