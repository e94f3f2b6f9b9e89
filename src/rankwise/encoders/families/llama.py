"""Llama (arXiv 2302.13971) and the decoders that differ from it in biases and norms: a text's last token has read it all."""

from dataclasses import replace

from rankwise.encoders.family import ROTARY_OPSET, Family

NORMS = ("input_layernorm", "post_attention_layernorm")
QK_NORMS = ("D", "D")  # of queries and keys, a head at a time


def _layer(
    *,
    qkv_bias: str = "attention_bias",
    out_bias: str = "attention_bias",
    ffn_bias: str = "no",
    qk_norms: tuple[str, ...] = (),
    norms: tuple[str, ...] = NORMS,
) -> str:
    """The lines of a layer. Biases are there as `yes`, `no` or a config key says; `qk_norms` are the widths of two norms."""
    widths = zip(("q_norm", "k_norm"), qk_norms, strict=False)
    return "\n".join(
        (
            f"self_attn.q_proj linear H N*D bias={qkv_bias} kind=query",
            f"self_attn.k_proj linear H K*D bias={qkv_bias} kind=key",
            f"self_attn.v_proj linear H K*D bias={qkv_bias} kind=value",
            f"self_attn.o_proj linear N*D H bias={out_bias} kind=attention_output",
            *(f"self_attn.{name} norm {width} bias=no" for name, width in widths),
            f"mlp.gate_proj linear H I bias={ffn_bias} kind=ffn_gate",
            f"mlp.up_proj linear H I bias={ffn_bias} kind=ffn_in",
            f"mlp.down_proj linear I H bias={ffn_bias} kind=ffn_out",
            *(f"{name} norm H bias=no" for name in norms),
        )
    )


LLAMA = Family(
    model_types=("llama",),
    root="model",
    causal=True,
    padding_side="right",
    sizes={
        "L": ("num_hidden_layers", 32),
        "H": ("hidden_size", 4096),
        "N": ("num_attention_heads", 32),
        "K": ("num_key_value_heads", None),
        "D": ("head_dim", None),
        "I": ("intermediate_size", 11008),
        "V": ("vocab_size", 32000),
        "P": ("max_position_embeddings", 2048),
    },
    derived={"K": lambda _, sizes: sizes["N"], "D": lambda _, sizes: sizes["H"] // sizes["N"]},
    dropouts={"attention_dropout": 0.0},
    before="embed_tokens table V H",
    layer_path="layers.{layer}",
    layer=_layer(ffn_bias="mlp_bias"),
    after="norm norm H bias=no",
    head="score linear H C bias=no",
    reads=lambda _: "last",
    onnx_opset=ROTARY_OPSET,
)
MISTRAL = replace(
    LLAMA,
    model_types=("mistral",),
    sizes={
        **LLAMA.sizes,
        "K": ("num_key_value_heads", 8),
        "I": ("intermediate_size", 14336),
        "P": ("max_position_embeddings", 131072),
    },
    layer=_layer(qkv_bias="no", out_bias="no"),
)
QWEN2 = replace(
    LLAMA,
    model_types=("qwen2",),
    sizes={
        **LLAMA.sizes,
        "K": ("num_key_value_heads", 32),
        "I": ("intermediate_size", 22016),
        "V": ("vocab_size", 151936),
        "P": ("max_position_embeddings", 32768),
    },
    layer=_layer(qkv_bias="yes", out_bias="no"),
)
QWEN3 = replace(QWEN2, model_types=("qwen3",), sizes={**QWEN2.sizes, "D": ("head_dim", 128)}, layer=_layer(qk_norms=QK_NORMS))
SMOLLM3 = replace(
    LLAMA,
    model_types=("smollm3",),
    sizes={
        **LLAMA.sizes,
        "L": ("num_hidden_layers", 36),
        "H": ("hidden_size", 2048),
        "N": ("num_attention_heads", 16),
        "K": ("num_key_value_heads", 4),
        "V": ("vocab_size", 128256),
        "P": ("max_position_embeddings", 32768),
    },
)
OLMO2 = replace(
    LLAMA,
    model_types=("olmo2",),
    sizes={**LLAMA.sizes, "V": ("vocab_size", 50304)},
    layer=_layer(qk_norms=("N*D", "K*D"), norms=("post_attention_layernorm", "post_feedforward_layernorm")),
)
GEMMA3 = replace(
    LLAMA,
    model_types=("gemma3_text",),
    sizes={
        "L": ("num_hidden_layers", 26),
        "H": ("hidden_size", 2304),
        "N": ("num_attention_heads", 8),
        "K": ("num_key_value_heads", 4),
        "D": ("head_dim", 256),
        "I": ("intermediate_size", 9216),
        "V": ("vocab_size", 262208),
        "P": ("max_position_embeddings", 131072),
    },
    layer=_layer(qk_norms=QK_NORMS, norms=(*NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")),
)
