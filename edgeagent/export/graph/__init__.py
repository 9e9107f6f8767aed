"""The decoder as an ONNX graph: weights are streamed to external data, nodes are built on top."""
