"""The native exporter: from a GGUF to an onnxruntime-genai package without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import edgeagent
from edgeagent.export.families import Family, family_of
from edgeagent.export.genai_config import CONFIG_NAME, DATA_NAME, MODEL_NAME, genai_config
from edgeagent.export.gguf.reader import GGUFFile
from edgeagent.export.graph.external import ExternalData
from edgeagent.export.graph.stored import StoredDecoder
from edgeagent.export.protocol import ModelFacts, OnExportProgress, ignore_progress
from edgeagent.export.settings import ExportSettings
from edgeagent.export.shape import DecoderShape, read_shape
from edgeagent.export.staging import staged_folder
from edgeagent.export.tensors import check_tensors
from edgeagent.export.tokenizer import build_tokenizer, write_tokenizer

def export_gguf(source, out, *, facts, settings=ExportSettings(), on_progress=ignore_progress):
    from edgeagent.export.graph.decoder import DecoderGraph
    from edgeagent.export.graph.weights import WeightWriter
    with GGUFFile.open(source) as gguf:
        family = family_of(gguf.architecture)
        shape = read_shape(gguf, family, settings.context_cap)
        check_tensors(gguf, family, shape)
        tokenizer = build_tokenizer(gguf)
        with staged_folder(out) as folder:
            with ExternalData(folder / DATA_NAME) as data:
                stored = WeightWriter(gguf, family, shape, data, lambda n: None).write()
            model = DecoderGraph(shape, stored, settings.accuracy_level).build(all_positions=False, producer_version=edgeagent.__version__)
            (folder / MODEL_NAME).write_bytes(model.SerializeToString())
            write_tokenizer(tokenizer, folder)
            (folder / CONFIG_NAME).write_text(json.dumps(genai_config(family, shape, tokenizer), indent=2))
            (folder / "manifest.json").write_text("{}")
