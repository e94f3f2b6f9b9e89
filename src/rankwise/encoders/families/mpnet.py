"""MPNet (arXiv 2004.09297): BERT's layers, with a bias for each distance between tokens."""

from rankwise.encoders.families import bert
from rankwise.encoders.family import Family

MPNET = Family(
    model_types=("mpnet",),
    root="mpnet",
    sizes={
        **bert.BERT.sizes,
        "V": ("vocab_size", 30527),
        "S": ("type_vocab_size", 0),
        "B": ("relative_attention_num_buckets", 32),
    },
    dropouts=bert.BERT.dropouts,
    before="""
        embeddings.word_embeddings      table   V H
        embeddings.position_embeddings  table   P H
        embeddings.LayerNorm            norm    H
    """,
    layer_path="encoder.layer.{layer}",
    layer="""
        attention.attn.q                linear  H H  kind=query
        attention.attn.k                linear  H H  kind=key
        attention.attn.v                linear  H H  kind=value
        attention.attn.o                linear  H H  kind=attention_output
        attention.LayerNorm             norm    H
        intermediate.dense              linear  H I  kind=ffn_in
        output.dense                    linear  I H  kind=ffn_out
        output.LayerNorm                norm    H
    """,
    after="encoder.relative_attention_bias table B N",
    head=bert.DENSE_HEAD,
    first_position=2,
)
