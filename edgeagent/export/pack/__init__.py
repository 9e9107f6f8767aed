"""From ggml blocks to the operand layout of onnxruntime's block-quantized operators."""
