"""A pooled head: one linear layer on the mean of the last hidden states, or on one token's, where no stock class has such.

Of a pair whose texts are read apart it is a layer on how their means u and v differ, |u - v|, and on what they share, u * v,
as in InferSent (arXiv 1705.02364) and Sentence-BERT (arXiv 1908.10084). They lie in one row and see nothing of each other.

Live, it is a model of two modules: the encoder under the name that a stock class gives it, in which peft places its adapters,
and the head. On disk it is a sentence-transformers folder: the encoder or its adapter as AutoModel loads it, `1_Pooling` and,
for the head, `2_Dense`, which is no part of it where it takes two texts' means. Shapes: B rows, T tokens, H hidden,
C classes.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rankwise.encoders.encoder import POOLED_HEAD, Encoder
from rankwise.errors import ModelError

HEAD_FILE = "2_Dense/model.safetensors"
READING_FILE = "sentence_bert_config.json"
START_DEVIATION = 0.02  # of the head's weights where nothing says otherwise, as in transformers
MODES = {
    "first": "cls_token",
    "last": "lasttoken",
    "mean": "mean_tokens",
    "apart": "mean_tokens",
}  # what sentence-transformers calls them


class Output(NamedTuple):
    """What a forward pass gives, as transformers' classes call it."""

    logits: Tensor
    """(B, C)"""


class Apart(NamedTuple):
    """Two texts in one row that see nothing of each other: what an encoder reads in place of segment ids."""

    mask: Tensor
    """(B, 1, T, T): 0 where a token sees another, the most negative number where not."""
    position_ids: Tensor
    """(B, T), which each text counts from 0."""

    @classmethod
    def of(cls, attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Self:
        unseen = (token_type_ids[:, :, None] != token_type_ids[:, None, :]) | (attention_mask == 0)[:, None, :]  # (B, T, T)
        mask = torch.zeros(unseen.shape, dtype=dtype, device=unseen.device).masked_fill_(unseen, torch.finfo(dtype).min)
        places = torch.ones_like(token_type_ids).cumsum(1) - 1  # (B, T)
        before = (attention_mask * (token_type_ids == 0)).sum(1, keepdim=True)  # (B, 1)
        return cls(mask[:, None], places - before * (token_type_ids != 0))


class PooledClassifier(nn.Module):
    """An encoder and a linear layer on what it gives, called and configured as transformers' classes for texts are."""

    def __init__(self, encoder: Any, described: Encoder, classes: Sequence[str]) -> None:
        super().__init__()
        self.described = described
        self.config: Any = encoder.config
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = nn.Identity()  # not None, which some classes call
        self.add_module(described.root, encoder)
        self.add_module(POOLED_HEAD, nn.Linear(described.head_width, len(classes)))
        self.adapter: list[Any] = []
        """peft's wrapper around the encoder, if it has adapters; in a list, for as a module its tensors had two names."""

    @property
    def encoder(self) -> Any:
        return self.get_submodule(self.described.root)

    @property
    def head(self) -> nn.Linear:
        head = self.get_submodule(POOLED_HEAD)
        assert isinstance(head, nn.Linear)
        return head

    def get_input_embeddings(self) -> Any:
        return self.encoder.get_input_embeddings()

    def forward(self, *, attention_mask: Tensor, **inputs: Tensor) -> Output:
        """Logits (B, C) of padded inputs (B, T), or of their word embeddings (B, T, H)."""
        mask, segments = attention_mask, inputs.get("token_type_ids")
        if self.described.reads == "apart":
            mask, positions = Apart.of(attention_mask, inputs.pop("token_type_ids"), torch.float32)
            inputs["position_ids"] = positions
        hidden = self.encoder(attention_mask=mask, **inputs).last_hidden_state
        return Output(self.head(pooled(hidden, attention_mask, self.described.reads, segments)))

    def start_head(self) -> None:
        """Draw the head's weights anew from torch's generator."""
        nn.init.normal_(self.head.weight, std=getattr(self.config, "initializer_range", START_DEVIATION))
        nn.init.zeros_(self.head.bias)


def pooled(hidden: Tensor, attention_mask: Tensor, reads: str, segments: Tensor | None = None) -> Tensor:
    """What a head reads of hidden states (B, T, H): their mean over a text's tokens, or its first or last token's (B, H).

    Of texts that are read apart, which their `segments` (B, T) tell, it is |u - v| and u * v of their means (B, 2H).
    """
    if reads == "first":
        return hidden[:, 0]
    if reads == "last":  # on whichever side of it the padding is
        places = torch.arange(hidden.shape[1], device=hidden.device) * attention_mask  # (B, T)
        return hidden[torch.arange(len(hidden), device=hidden.device), places.argmax(1)]
    if reads == "apart":
        assert segments is not None, "of pairs alone the texts are read apart"
        u, v = (_mean(hidden, attention_mask * (segments == side)) for side in (0, 1))  # (B, H)
        return torch.cat([(u - v).abs(), u * v], dim=1)
    return _mean(hidden, attention_mask)


def _mean(hidden: Tensor, chosen: Tensor) -> Tensor:
    """Of the chosen tokens' hidden states (B, T, H), (B, H)."""
    mask = chosen[:, :, None].to(hidden.dtype)  # (B, T, 1)
    return (hidden * mask).sum(1) / mask.sum(1)


def save_head(model: PooledClassifier, folder: Path) -> None:
    """Write the head, and what tells sentence-transformers how the folder's parts belong together."""
    encoder, head = model.described, model.head
    names = [
        f"pooling_mode_{mode}" for mode in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
    ]
    modes = {name: name == f"pooling_mode_{MODES[encoder.reads]}" for name in names}
    dense = {"in_features": head.in_features, "out_features": head.out_features, "bias": True}
    parts = {"": "models.Transformer", "1_Pooling": "models.Pooling"}
    if encoder.reads != "apart":  # whose head takes two texts' means
        parts["2_Dense"] = "models.Dense"
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{kind}"}
        for number, (path, kind) in enumerate(parts.items())
    ]
    written = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": encoder.hidden, **modes},
        "2_Dense/config.json": {**dense, "activation_function": "torch.nn.modules.linear.Identity"},
    }
    for name, value in written.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    tensors = {f"linear.{name}": tensor.detach().cpu().contiguous() for name, tensor in head.named_parameters()}
    save_file(tensors, folder / HEAD_FILE, metadata={"format": "pt"})
    shutil.copymode(folder / "modules.json", folder / HEAD_FILE)  # safetensors ignores the umask: 0600


def save_reading(folder: Path, max_length: int) -> None:
    """Write how many tokens of a text sentence-transformers reads, and that it computes in what the head was trained in."""
    reading = {"max_seq_length": max_length, "do_lower_case": False, "model_args": {"dtype": "float32"}}
    (folder / READING_FILE).write_text(json.dumps(reading, indent=2) + "\n", "utf-8")


def read_head(folder: Path) -> dict[str, Tensor]:
    """A saved head's tensors, under the live model's names. Raises ModelError where there is none."""
    path = folder / HEAD_FILE
    if not path.is_file():
        raise ModelError(
            f"{folder.name}: {HEAD_FILE} is missing, which holds the head; copy the folder again, or train again"
        )
    return {name.replace("linear", POOLED_HEAD): tensor.clone() for name, tensor in load_file(path).items()}


def load_head(model: PooledClassifier, folder: Path) -> None:
    """Put a saved head into a live model. Raises ModelError where it is of another encoder or other classes."""
    tensors = read_head(folder)
    with torch.no_grad():
        for name, weight in model.head.named_parameters():
            stored = tensors.get(f"{POOLED_HEAD}.{name}")
            if stored is None or stored.shape != weight.shape:
                shape = " by ".join(map(str, weight.shape))
                raise ModelError(f"{folder.name}: {HEAD_FILE} has no linear.{name} of {shape}; copy the folder again")
            weight.copy_(stored)
