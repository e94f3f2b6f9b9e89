"""EuroBERT (arXiv 2503.05500): Llama's layers, which see the whole text, under a head of two linear layers."""

from dataclasses import replace

from rankwise.encoders.families.llama import LLAMA

EUROBERT = replace(
    LLAMA,
    model_types=("eurobert",),
    causal=False,
    padding_side=None,
    sizes={
        **{letter: LLAMA.sizes[letter] for letter in ("K", "D")},
        "L": ("num_hidden_layers", 12),
        "H": ("hidden_size", 768),
        "N": ("num_attention_heads", 12),
        "I": ("intermediate_size", 3072),
        "V": ("vocab_size", 128256),
    },
    head="""
        dense                     linear  H H
        classifier                linear  H C
    """,
    reads=lambda config: "first" if config.get("classifier_pooling") == "bos" else "mean",
)
