"""Compute a checkpoint's logits in float32 with transformers.

Usage: reference_logits.py FOLDER WINDOWS.json LOGITS.f32. The windows are lists of token ids that
are run on their own. The file gets `(len(window) - 1, vocab)` little-endian float32 for each: the
logits that predict the window's next tokens.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM


def main() -> None:
    """Compute the logits."""
    folder, windows, target = (Path(argument) for argument in sys.argv[1:4])
    torch.set_grad_enabled(False)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    ).eval()
    texts = json.loads(windows.read_text(encoding="utf-8"))
    total = sum(len(text) - 1 for text in texts)
    done = 0
    with target.open("wb") as file:
        for text in texts:
            logits = model(torch.tensor([text[:-1]]), use_cache=False).logits[0]
            file.write(logits.float().contiguous().numpy().astype("<f4", copy=False).tobytes())
            done += len(text) - 1
            print(f"@progress {done} {total} reference", flush=True)


if __name__ == "__main__":
    main()
