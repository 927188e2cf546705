"""From PyTorch to ONNX, int8 layers, a .tflite file and C arrays."""
