"""From a chosen arch to what runs on the device: ONNX, int8 .tflite, C arrays, firmware."""
