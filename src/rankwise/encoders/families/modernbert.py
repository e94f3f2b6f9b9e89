"""ModernBERT (arXiv 2412.13663): rotary positions, gated feed-forward layers, no dropout."""

from rankwise.encoders.family import ROTARY_OPSET, Family

MODERNBERT = Family(
    model_types=("modernbert",),
    root="model",
    sizes={
        "L": ("num_hidden_layers", 22),
        "H": ("hidden_size", 768),
        "N": ("num_attention_heads", 12),
        "I": ("intermediate_size", 1152),
        "V": ("vocab_size", 50368),
    },
    dropouts={"embedding_dropout": 0.0, "attention_dropout": 0.0, "mlp_dropout": 0.0},
    before="""
        embeddings.tok_embeddings       table   V H
        embeddings.norm                 norm    H      bias=norm_bias
    """,
    layer_path="layers.{layer}",
    layer="""
        attn_norm                       norm    H      bias=norm_bias  if=not-first
        attn.Wqkv                       linear  H 3*H  bias=attention_bias  kind=query_key_value
        attn.Wo                         linear  H H    bias=attention_bias  kind=attention_output
        mlp_norm                        norm    H      bias=norm_bias
        mlp.Wi                          linear  H 2*I  bias=mlp_bias  kind=ffn_in
        mlp.Wo                          linear  I H    bias=mlp_bias  kind=ffn_out
    """,
    after="final_norm norm H bias=norm_bias",
    head="""
        head.dense                      linear  H H    bias=classifier_bias
        head.norm                       norm    H      bias=norm_bias
        classifier                      linear  H C
    """,
    reads=lambda config: "mean" if config.get("classifier_pooling") == "mean" else "first",
    onnx_opset=ROTARY_OPSET,
    tests={"not-first": lambda _, layer: layer > 0},
)
