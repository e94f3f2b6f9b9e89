"""The encoder families under test, a row each: a tiny encoder, any small one, and how its tokenizer marks a text.

A new family gets a row here, and every test that goes through the families runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, XLNetTokenizer

LONGEST = 64  # tokens that every tiny encoder takes

Configs = st.SearchStrategy[dict[str, Any]]


@dataclass(frozen=True)
class Marks:
    """The special tokens of a family's tokenizer, in the order of their numbers: first is 0, last is 2."""

    first: str
    pad: str
    last: str
    unknown: str
    mask: str


BERT_MARKS = Marks("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")
ROBERTA_MARKS = Marks("<s>", "<pad>", "</s>", "<unk>", "<mask>")
XLNET_MARKS = Marks("<cls>", "<pad>", "<sep>", "<unk>", "<mask>")


def word_level(row: TinyFamily, words: Sequence[str]) -> Any:
    """One token a word, with a mark before and after each text."""
    marks = row.marks
    tokens = [marks.first, marks.pad, marks.last, marks.unknown, marks.mask, *words]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=marks.unknown))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, last = marks.first, marks.last
    second_text = f"{last} $B {last}" if marks is ROBERTA_MARKS else f"$B:1 {last}:1"
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {second_text}",
        special_tokens=[(mark, vocabulary[mark]) for mark in (first, last)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=LONGEST,
        cls_token=marks.first,
        sep_token=marks.last,
        pad_token=marks.pad,
        unk_token=marks.unknown,
        mask_token=marks.mask,
        bos_token=marks.first,
        eos_token=marks.last,
        model_input_names=["input_ids", *(["token_type_ids"] if row.token_types else []), "attention_mask"],
    )


def xlnet_pieces(row: TinyFamily, words: Sequence[str]) -> Any:
    """XLNet's own tokenizer: both marks after the text, padding before it."""
    pieces = [(row.marks.unknown, 0.0), ("▁", -8.0), *((f"▁{word}", -4.0) for word in words)]
    return XLNetTokenizer(
        vocab=pieces, model_max_length=LONGEST, model_input_names=["input_ids", "token_type_ids", "attention_mask"]
    )


@dataclass(frozen=True)
class TinyFamily:
    """A family as tests need it."""

    config: Mapping[str, Any]
    """Of a tiny encoder: hidden width 32, 2 or 3 layers."""
    configs: Configs
    """Of any small encoder."""
    marks: Marks = BERT_MARKS
    tokenizer: Callable[[TinyFamily, Sequence[str]], Any] = word_level
    token_types: bool = False
    """Whether its tokenizer gives token_type_ids."""
    opening: int = 1
    """Special tokens before a text."""
    closing: int = 1
    """Special tokens after a text."""
    positions: bool = True
    """Whether its config says how long a text may be."""
    fails_beyond: bool = True
    """Whether a longer text than that has no embedding."""
    drops: bool = True
    """Whether it has dropout without being asked for it."""
    dropping: Mapping[str, Any] = field(default_factory=dict)
    """What to change in its config where it should have dropout and has none by itself."""
    head_drops: bool = True
    """Whether its head can have dropout."""
    own_keys: bool = True
    """Whether keys and values have linear layers of their own."""
    slim: bool = True
    """Whether its head has a layer before the last, so that it can be slim."""


LAYERS = st.integers(1, 4)
WIDTHS = st.integers(1, 8).map(lambda n: 4 * n)  # four heads
SIZES = st.integers(1, 90)
PADDED = st.integers(5, 90)  # room for padding and special tokens
FLAG = st.booleans()

_SPECIAL = dict.fromkeys(
    ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), st.sampled_from([0, 1])
)
_BERT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST,
}
_SHIFTED = {**_BERT, "max_position_embeddings": LONGEST + 2}  # positions count from two


def _like_bert(**changes: st.SearchStrategy[Any]) -> Configs:
    keys = {
        "vocab_size": PADDED,
        "num_hidden_layers": LAYERS,
        "hidden_size": WIDTHS,
        "intermediate_size": SIZES,
        "max_position_embeddings": PADDED,
        "type_vocab_size": st.integers(1, 3),
        "num_attention_heads": st.just(4),
    }
    return st.fixed_dictionaries({**_SPECIAL, **keys, **changes})


def _like_llama(head_dim: Sequence[int | None] = (None, 4, 6)) -> Configs:
    """Flags stand in any config, also where a model type does not read them."""
    sizes = {"num_key_value_heads": st.sampled_from([1, 2, 4]), "head_dim": st.sampled_from(head_dim)}
    flags = {"attention_bias": FLAG, "mlp_bias": FLAG}
    return st.builds(
        lambda usual, more: {**usual, **more},
        _like_bert(hidden_size=st.sampled_from([8, 16, 24])),
        st.fixed_dictionaries(flags, optional=sizes),
    )


_ROBERTA = TinyFamily({**_SHIFTED, "type_vocab_size": 1}, _like_bert(), ROBERTA_MARKS)

FAMILIES: dict[str, TinyFamily] = {
    "bert": TinyFamily(_BERT, _like_bert(), token_types=True, slim=False),
    "roberta": _ROBERTA,
    "distilbert": TinyFamily(
        {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": LONGEST},
        st.fixed_dictionaries(
            {
                **_SPECIAL,
                "vocab_size": PADDED,
                "n_layers": LAYERS,
                "dim": WIDTHS,
                "hidden_dim": SIZES,
                "n_heads": st.just(4),
                "max_position_embeddings": PADDED,
            }
        ),
    ),
    "electra": TinyFamily(
        {**_BERT, "embedding_size": 16}, _like_bert(embedding_size=st.sampled_from([4, 8, 12])), token_types=True
    ),
    "deberta-v2": TinyFamily(
        {
            **_BERT,
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 16,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
        },
        _like_bert(
            type_vocab_size=st.integers(0, 2),
            relative_attention=FLAG,
            position_buckets=st.integers(1, 9),
            share_att_key=FLAG,
            pos_att_type=st.sampled_from(["p2c|c2p", "c2p", ["p2c"], ["c2p", "p2c"], []]),
            norm_rel_ebd=st.sampled_from(["none", "layer_norm"]),
            position_biased_input=FLAG,
            conv_kernel_size=st.sampled_from([0, 3]),
        ),
        token_types=True,
        fails_beyond=False,
    ),
    "mpnet": TinyFamily(_SHIFTED, _like_bert(relative_attention_num_buckets=st.integers(2, 40)), ROBERTA_MARKS),
    "xlnet": TinyFamily(
        {"d_model": 32, "d_inner": 64, "n_layer": 2, "n_head": 4},
        st.fixed_dictionaries(
            {**_SPECIAL, "vocab_size": PADDED, "n_layer": LAYERS, "d_model": WIDTHS, "d_inner": SIZES, "n_head": st.just(4)}
        ).map(lambda config: {**config, "d_head": config["d_model"] // 4}),
        XLNET_MARKS,
        xlnet_pieces,
        token_types=True,
        opening=0,
        closing=2,
        positions=False,
        own_keys=False,
    ),
    "modernbert": TinyFamily(
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": LONGEST,
            "local_attention": 16,
            "cls_token_id": 0,
            "sep_token_id": 2,
        },
        _like_bert(attention_bias=FLAG, mlp_bias=FLAG, norm_bias=FLAG, classifier_bias=FLAG),
        positions=False,
        drops=False,
        dropping={"classifier_dropout": 0.3, "attention_dropout": 0.1, "mlp_dropout": 0.1},
        own_keys=False,
    ),
    "albert": TinyFamily(
        {**_BERT, "embedding_size": 16},
        _like_bert(embedding_size=SIZES, num_hidden_groups=st.integers(1, 3)),
        token_types=True,
        slim=False,
    ),
    "eurobert": TinyFamily(
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": LONGEST,
        },
        _like_bert(
            hidden_size=st.sampled_from([8, 16, 24]),
            num_key_value_heads=st.sampled_from([None, 1, 2, 4]),
            head_dim=st.sampled_from([None, 4, 6]),
            attention_bias=FLAG,
            mlp_bias=FLAG,
        ),
        positions=False,
        drops=False,
        dropping={"attention_dropout": 0.1},
        head_drops=False,
    ),
    "qwen3": TinyFamily(
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 12,
            "max_position_embeddings": LONGEST,
        },
        _like_llama(head_dim=(4, 6)),
        fails_beyond=False,
        drops=False,
        dropping={"attention_dropout": 0.1},
        head_drops=False,
        slim=False,
    ),
}
MODEL_TYPES = {
    **FAMILIES,
    **dict.fromkeys(("xlm-roberta", "camembert"), replace(_ROBERTA)),
    **dict.fromkeys(("llama", "mistral"), replace(FAMILIES["qwen3"], configs=_like_llama())),
    **dict.fromkeys(("qwen2", "smollm3", "olmo2", "gemma3_text"), replace(FAMILIES["qwen3"])),
}
"""Every model type that rankwise knows, with the row of its family."""
