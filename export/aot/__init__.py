"""Engine ``aot``: an int8 .tflite as C that needs no interpreter."""
