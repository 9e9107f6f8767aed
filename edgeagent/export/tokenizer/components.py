"""What the kinds of tokenizers fill in differently."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.export.tokenizer.pretokenizers import Json


@dataclass(frozen=True)
class TokenizerComponents:
    """The parts of tokenizer.json that depend on the kind of tokenizer.

    Attributes:
        normalizer: changes the text before it is cut.
        pre_tokenizer: cuts text into words.
        decoder: turns tokens back into text.
        merges: `left right` pairs, first to be applied first.
        ignore_merges: whether a word that is a token is taken whole.
        byte_fallback: whether unknown characters become `<0x..>` tokens.
        tokenizer_class: the class in tokenizer_config.json, which decides how onnxruntime-genai
            reads tokenizer.json.
        add_bos: whether prompts start with BOS where the file does not say.
    """

    normalizer: Json | None
    pre_tokenizer: Json | None
    decoder: Json
    merges: list[str]
    ignore_merges: bool = False
    byte_fallback: bool = False
    tokenizer_class: str = "TokenizersBackend"
    add_bos: bool = False
