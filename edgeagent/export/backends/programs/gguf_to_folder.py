"""Dequantize a GGUF file into a Hugging Face folder with float32 weights.

Usage: gguf_to_folder.py FILE.gguf FOLDER. The tokenizer is not converted: transformers rebuilds it
from the kind of the model and not from the file, and gets some wrong; edgeagent writes its own.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM


def main() -> None:
    """Convert the file."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    print("@progress 0 2 dequantizing", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
    )
    # Else the folder would say that its float32 weights are quantized.
    for owner, name in ((model, "hf_quantizer"), (model.config, "quantization_config")):
        if getattr(owner, name, None) is not None:
            delattr(owner, name)
    print("@progress 1 2 writing float32 weights", flush=True)
    model.save_pretrained(folder)
    print("@progress 2 2 dequantized", flush=True)


if __name__ == "__main__":
    main()
