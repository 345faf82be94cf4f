"""From model files to Relax: reading, checking, and importing ONNX and torch models."""
