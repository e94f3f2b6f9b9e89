"""EuroBERT (arXiv 2503.05500): rotary positions, keys and values shared by groups of heads, gated feed-forward layers."""

from rankwise.encoders.family import Family

EUROBERT = Family(
    model_types=("eurobert",),
    root="model",
    sizes={
        "L": ("num_hidden_layers", 12),
        "H": ("hidden_size", 768),
        "N": ("num_attention_heads", 12),
        "K": ("num_key_value_heads", None),
        "D": ("head_dim", None),
        "I": ("intermediate_size", 3072),
        "V": ("vocab_size", 128256),
    },
    derived={"K": lambda _, sizes: sizes["N"], "D": lambda _, sizes: sizes["H"] // sizes["N"]},
    dropouts={"attention_dropout": 0.0},
    before="embed_tokens table V H",
    layer_path="layers.{layer}",
    layer="""
        self_attn.q_proj          linear  H N*D  bias=attention_bias  kind=query
        self_attn.k_proj          linear  H K*D  bias=attention_bias  kind=key
        self_attn.v_proj          linear  H K*D  bias=attention_bias  kind=value
        self_attn.o_proj          linear  N*D H  bias=attention_bias  kind=attention_output
        mlp.gate_proj             linear  H I    bias=mlp_bias  kind=ffn_gate
        mlp.up_proj               linear  H I    bias=mlp_bias  kind=ffn_in
        mlp.down_proj             linear  I H    bias=mlp_bias  kind=ffn_out
        input_layernorm           norm    H      bias=no
        post_attention_layernorm  norm    H      bias=no
    """,
    after="norm norm H bias=no",
    head="""
        dense                     linear  H H
        classifier                linear  H C
    """,
    reads=lambda config: "first" if config.get("classifier_pooling") == "bos" else "mean",
    onnx_opset=20,  # 23's RotaryEmbedding gets a table of one row, which ONNX Runtime 1.31 refuses
)
