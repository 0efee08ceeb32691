"""From the layers of a transformers model to the tensor names and settings of GGUF."""

from __future__ import annotations

from typing import Any

from tap.errors import ExportError, require_extra

_ARCHITECTURES = {"mistral": "llama", "smollm3": "smollm3", "gemma3_text": "gemma3", "qwen2_moe": "qwen2moe",
                  "qwen3_moe": "qwen3moe"}  # fmt: skip
"""`model_type` of transformers where GGUF calls the architecture otherwise."""


def architecture(model: Any) -> str | None:
    """The name that GGUF has for a model's architecture; None where it has none."""
    require_extra("gguf", extra="gguf", why="writing GGUF names")
    from gguf import MODEL_ARCH_NAMES

    kind = str(getattr(getattr(model, "config", None), "model_type", ""))
    name = _ARCHITECTURES.get(kind, kind)
    return name if name in MODEL_ARCH_NAMES.values() else None


def tensor_names(model: Any, keys: list[str]) -> dict[str, str]:
    """GGUF's name of each tensor of a model's state.

    Raises:
        ExportError: GGUF has no name for the architecture or for a tensor.
    """
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    name = architecture(model)
    if name is None:
        raise ExportError(
            f"GGUF has no architecture for {type(model).__name__}",
            hint="pass a model of transformers whose architecture llama.cpp knows",
        )
    arch = next(arch for arch, text in MODEL_ARCH_NAMES.items() if text == name)
    config = model.config
    table = get_tensor_name_map(arch, int(getattr(config, "num_hidden_layers", 0) or config.n_layer))
    found = {key: table.get_name(key, try_suffixes=(".weight", ".bias")) for key in keys}
    missing = [key for key, value in found.items() if value is None]
    if missing:
        raise ExportError(
            f"GGUF has no name for the tensor '{missing[0]}' of {name}", hint="leave that unit out"
        )
    return {key: str(value) for key, value in found.items()}


def rotated_heads(model: Any, key: str) -> int | None:
    """Heads whose rows llama.cpp wants in another order (rotary halves interleaved); None for most."""
    if architecture(model) != "llama":
        return None
    config = model.config
    if key.rpartition(".")[0].endswith("q_proj"):
        return int(config.num_attention_heads)
    if key.rpartition(".")[0].endswith("k_proj"):
        return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    return None


def settings(writer: Any, model: Any) -> None:
    """The numbers of the architecture, for a model whose configuration has them; no tokenizer."""
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = getattr(config, "rope_parameters", None) or {}
    base = rope.get("rope_theta", getattr(config, "rope_theta", 10000.0))
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    writer.add_layer_norm_rms_eps(float(getattr(config, "rms_norm_eps", 1e-6)))
    writer.add_rope_freq_base(float(base))
    writer.add_rope_dimension_count(head)
    writer.add_key_length(head)
    writer.add_value_length(head)
