"""Engine ``tflm`` in firmware projects and in the arena check."""
