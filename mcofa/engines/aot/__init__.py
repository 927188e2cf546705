"""Engine ``aot``: what its generated C needs, known before anything is generated."""
