"""Where buffers lie in an arena: plans for one network and for populations, and their validator."""
