"""Load a package the way it will be used: tokenize, prefill, generate."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import VerificationError
from edgeagent.export.verify.sample import tokenizer_texts
from edgeagent.privacy import disable_dependency_telemetry

_PROMPT = "The harbour master wrote three lines in the log:"
_PROMPT_TOKENS = 16
_NEW_TOKENS = 8


@dataclass(frozen=True)
class RuntimeCheck:
    """What the runtime did.

    Attributes:
        prompt: Token ids that it was given.
        logits: `(vocab,)` float32 after the prompt.
        tokenizer_texts: Number of texts on which both tokenizers agreed, which is all of them.
    """

    prompt: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    tokenizer_texts: int


def check_runtime(package: Path, reference: Any = None) -> RuntimeCheck:
    """Load a package in onnxruntime-genai and use every part of it.

    Args:
        package: Its folder.
        reference: The package's `tokenizers.Tokenizer` if it is loaded already; loading takes half
            a second.

    Raises:
        VerificationError: It does not load, tokenizes differently, or does not generate.
    """
    disable_dependency_telemetry()
    import onnxruntime_genai

    try:
        model = onnxruntime_genai.Model(str(package))
        tokenizer = onnxruntime_genai.Tokenizer(model)
        texts = _check_tokenizer(package, tokenizer, reference)
        prompt = np.asarray(tokenizer.encode(_PROMPT), dtype=np.int64)[:_PROMPT_TOKENS]
        logits = _generate(onnxruntime_genai, model, prompt)
    except VerificationError:
        raise
    except Exception as error:  # the runtime raises plain exceptions
        raise VerificationError(f"onnxruntime-genai cannot run the new package: {error}") from error
    finally:
        # The runtime maps the weights; on Windows a mapped file cannot be renamed.
        model = tokenizer = None
        gc.collect()
    return RuntimeCheck(prompt, logits, texts)


def _check_tokenizer(package: Path, tokenizer: Any, reference: Any) -> int:
    from tokenizers import Tokenizer

    reference = reference or Tokenizer.from_file(str(package / "tokenizer.json"))
    texts = tokenizer_texts()
    for text in texts:
        expected = reference.encode(text, add_special_tokens=False).ids
        got = [int(token) for token in tokenizer.encode(text)]
        if got != expected:
            raise VerificationError(
                f"The package's tokenizer splits {text[:60]!r} into {_excerpt(got, expected)} where"
                f" the source's does into {_excerpt(expected, got)}."
            )
    return len(texts)


def _excerpt(ids: list[int], other: list[int]) -> str:
    """The ids from the first difference on."""
    same = next(
        (at for at, pair in enumerate(zip(ids, other, strict=False)) if pair[0] != pair[1]),
        min(len(ids), len(other)),
    )
    return f"{ids[same : same + 6]} (from token {same} of {len(ids)})"


def _generate(runtime: Any, model: Any, prompt: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    params = runtime.GeneratorParams(model)
    # A model may want to end the text at once, which is no fault of its package.
    lengths = {"min_length": len(prompt) + 1, "max_length": len(prompt) + _NEW_TOKENS}
    params.set_search_options(**lengths, do_sample=False)
    generator = runtime.Generator(model, params)
    generator.append_tokens(prompt.astype(np.int32))
    logits: npt.NDArray[np.float32] = np.array(generator.get_logits(), dtype=np.float32).reshape(-1)
    if not np.isfinite(logits).all():
        raise VerificationError("The new package computes logits that are not finite numbers.")
    while not generator.is_done():
        generator.generate_next_token()
    if len(generator.get_sequence(0)) <= len(prompt):
        raise VerificationError("The new package does not generate a single token.")
    return logits
