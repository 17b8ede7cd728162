"""Writes the trained model as a GGUF file, Q8_0, with tokenizer and chat template.

python -m tools.demo_model.export --trained .cache/demo_model --out models/demo-helpdesk.gguf
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import gguf
import numpy
import torch

from tools.demo_model.chat import CHAT_TEMPLATE, END_OF_TEXT, PAD, SPECIAL_TOKENS, TURN_END
from tools.demo_model.model import Shape

NAME = "Bailiwick demo help desk"
DESCRIPTION = (
    "A very small model for trying out an inference gateway without a download. "
    "Trained from scratch on synthetic help-desk dialogues; it knows nothing else."
)


def add_sizes(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """What the model is, and the sizes from which llama.cpp builds it."""
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_vocab_size(shape.vocabulary)


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    """The vocabulary and the merges of a `tokenizer.json`, its special tokens, and the chat template."""
    stored = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = sorted(stored["vocab"], key=stored["vocab"].__getitem__)
    types = [gguf.TokenType.CONTROL if token in SPECIAL_TOKENS else gguf.TokenType.NORMAL for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")  # the splitting of `train.make_tokenizer`
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in stored["merges"]]
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index(END_OF_TEXT))
    writer.add_eos_token_id(tokens.index(TURN_END))
    writer.add_pad_token_id(tokens.index(PAD))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_weights(writer: gguf.GGUFWriter, weights: dict[str, torch.Tensor]) -> None:
    """All weights; the modules are named as GGUF names its tensors. Norms stay in full precision."""
    for name, weight in weights.items():
        values = numpy.ascontiguousarray(weight.numpy(), dtype=numpy.float32)
        if values.ndim == 1:
            writer.add_tensor(name, values)
            continue
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)


def main() -> None:
    """Command line."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--trained", type=Path, required=True, help="the --out folder of train.py")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    checkpoint = torch.load(options.trained / "checkpoint.pt", weights_only=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(options.out, "llama")
    add_sizes(writer, Shape(**checkpoint["shape"]))
    add_tokenizer(writer, options.trained / "tokenizer.json")
    add_weights(writer, checkpoint["weights"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    content = options.out.read_bytes()
    print(f"{options.out}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
