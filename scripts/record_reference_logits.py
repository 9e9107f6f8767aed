"""Record the logits that transformers gives the tiny checkpoints of the tests.

    python scripts/record_reference_logits.py [--output FOLDER] [--only NAME ...]

Runs in an environment of its own, with torch, transformers and numpy; nothing else of this project
needs torch. Each checkpoint is written to a temporary folder, in both dialects of config.json, and
loaded in float32 with eager attention.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

_TESTS = Path(__file__).resolve().parent.parent / "tests" / "unit" / "export"
sys.path.insert(0, str(_TESTS))

from tiny_checkpoints import (  # noqa: E402 - found through the path above
    ALL_CHECKPOINTS,
    REFERENCE_FOLDER,
    TinyCheckpoint,
    decoder_logits,
    relative_error,
)

_AGREEMENT = 1e-5


def main() -> int:
    """Record and return the exit status."""
    options = _parse()
    try:
        import torch
        import transformers
    except ImportError as error:
        print(f"{error.name} is not installed here: pip install torch transformers numpy")
        return 1
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.only or ALL_CHECKPOINTS:
        recorded = _record(ALL_CHECKPOINTS[name])
        np.savez_compressed(
            options.output / f"{name}.npz",
            **recorded,
            transformers_version=transformers.__version__,
        )
        print(f"{name}: {recorded['logits'].shape[0]} positions")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Record the logits of transformers.")
    parser.add_argument("--output", type=Path, default=REFERENCE_FOLDER, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=list(ALL_CHECKPOINTS), metavar="NAME")
    return parser.parse_args()


def _record(checkpoint: TinyCheckpoint) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        current = checkpoint.write_folder(folder / "current")
        published = checkpoint.write_folder(
            folder / "published", dtype="bfloat16", shards=2, style="published"
        )
        _check_config(checkpoint, current)
        logits = _logits(checkpoint, current)
        same = {"published": _logits(checkpoint, published)}
        recorded = {"logits": logits}
        if not checkpoint.gguf_keeps_window:
            recorded["logits_of_gguf"] = _logits(checkpoint, current, sliding_window=None)
    same["numpy"] = decoder_logits(checkpoint.config, checkpoint.weights, checkpoint.tokens)
    for what, other in same.items():
        error = relative_error(other, logits)
        if error > _AGREEMENT:
            raise SystemExit(f"{checkpoint.name}: {what} differs by {error:.1e}")
    return recorded


def _logits(checkpoint: TinyCheckpoint, folder: Path, **overrides: Any) -> np.ndarray:
    """Float32 logits `(tokens, vocab)`; every weight must have found its place."""
    import torch
    from transformers import AutoModelForCausalLM

    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
        **overrides,
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            raise SystemExit(f"{checkpoint.name}: {problem} {sorted(report[problem])}")
    model.eval()
    with torch.no_grad():
        return np.asarray(model(torch.tensor([checkpoint.tokens])).logits[0].numpy())


def _check_config(checkpoint: TinyCheckpoint, folder: Path) -> None:
    """Check that config.json is what transformers writes after reading it."""
    from transformers import AutoConfig

    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    AutoConfig.from_pretrained(folder).save_pretrained(folder / "again")
    again = json.loads((folder / "again" / "config.json").read_text(encoding="utf-8"))
    written.pop("transformers_version")
    again.pop("transformers_version")
    if written != again:
        keys = {key for key in {*written, *again} if written.get(key) != again.get(key)}
        raise SystemExit(f"{checkpoint.name}: config.json differs in {', '.join(sorted(keys))}")


if __name__ == "__main__":
    sys.exit(main())
