"""XLNet (arXiv 1906.08237). Its attention layers are bare 3-D tensors, which adapters of linear layers cannot reach."""

from rankwise.encoders.family import Family

XLNET = Family(
    model_types=("xlnet",),
    root="transformer",
    sizes={
        "L": ("n_layer", 24),
        "H": ("d_model", 1024),
        "N": ("n_head", 16),
        "D": ("d_head", None),
        "I": ("d_inner", 4096),
        "V": ("vocab_size", 32000),
    },
    derived={"D": lambda _, sizes: sizes["H"] // sizes["N"]},
    dropouts={"dropout": 0.1},
    before="""
        mask_emb                        free    1 1 H
        word_embedding                  table   V H
    """,
    layer_path="layer.{layer}",
    layer="""
        rel_attn.q                      free    H N D
        rel_attn.k                      free    H N D
        rel_attn.v                      free    H N D
        rel_attn.o                      free    H N D
        rel_attn.r                      free    H N D
        rel_attn.r_r_bias               free    N D
        rel_attn.r_s_bias               free    N D
        rel_attn.r_w_bias               free    N D
        rel_attn.seg_embed              free    2 N D
        rel_attn.layer_norm             norm    H
        ff.layer_norm                   norm    H
        ff.layer_1                      linear  H I  kind=ffn_in
        ff.layer_2                      linear  I H  kind=ffn_out
    """,
    head="""
        sequence_summary.summary        linear  H H
        logits_proj                     linear  H C
    """,
    reads=lambda config: str(config.get("summary_type", "last")),
    onnx_float_mask=True,  # it subtracts the mask from 1.0
)
