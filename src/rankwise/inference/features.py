"""Texts as an encoder sees them, as vectors: what a head's last projection reads, and the mean of the last hidden states.

Shapes: N texts, B rows of a batch, T tokens, H hidden.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from rankwise.data.batches import Padding, padded_batches, scoring_batches
from rankwise.data.tokens import Tokens, text_means, tokenize_to_disk
from rankwise.encoders.base import locate
from rankwise.encoders.finding import find
from rankwise.inference.scorer import gathered
from rankwise.model.classifier import Classifier, in_eval_mode, to_array, to_tensors
from rankwise.model.forward import Forward
from rankwise.model.hidden_cache import HiddenStates
from rankwise.model.load import load_encoder, load_tokenizer, longest_text, match_segments
from rankwise.model.pooled import pooled
from rankwise.recipe import SpeedSpec
from rankwise.system.device import Device
from rankwise.system.events import Events

BATCH = 32  # texts in a forward pass
LONGEST = 128  # tokens of a text that `mean_features` reads


def head_features(
    classifier: Classifier,
    tokens: Tokens,
    chosen: NDArray[np.int64],
    *,
    padding: Padding,
    precision: str,
    hidden: HiddenStates | None = None,
    events: Events | None = None,
) -> NDArray[np.float32]:
    """What enters the head's last projection (N, H), of the chosen texts in their order: the mean of a text's windows.

    `hidden` are the states that enter the lowest adapted layer, where they are known; `events` hear how far it is.
    """
    windows = tokens.windows(chosen)  # (W,)
    positions = scoring_batches(tokens.lengths[windows], BATCH)
    rows = [windows[batch] for batch in positions]
    last, device = classifier.last_projection, classifier.device
    caught: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0].detach()))

    def outputs() -> Iterator[ArrayLike]:
        told = (events or Events()).counting("reading features, batches of texts", rows)
        for batch, inputs in zip(told, padded_batches(tokens, rows, padding), strict=True):
            entering = None if hidden is None else hidden.take(batch, device)
            batch_inputs = to_tensors(inputs, device)
            classifier.logits(batch_inputs, precision=precision, entering=entering)
            read = caught.pop().float()  # (B, H), or (B, T, H) of a class that projects every token and takes the last one's
            yield to_array(read if read.dim() == 2 else pooled(read, batch_inputs["attention_mask"], "last"))

    try:
        with in_eval_mode(classifier.model):
            features = gathered(positions, outputs(), shape=(len(windows), last.in_features))
            return text_means(features, tokens.window_counts[chosen])
    finally:
        hook.remove()


def mean_features(texts: Sequence[str], base: str) -> NDArray[np.float32]:
    """A frozen encoder's last hidden states, averaged over each text's tokens (N, H). In bf16 where the hardware has it."""
    where, encoder = locate(base), find(base, classes=2)
    tokenizer = load_tokenizer(where)
    match_segments(tokenizer, encoder)
    device = Device.for_predictions().torch_device
    model = load_encoder(where, ("0", "1"), seed=0, config=encoder.config)[0].to(device)
    precision = Device(device).resolve_precision("auto")
    forward = Forward(model, encoder) if encoder.traits.fast_path is not None else None
    every_token = SpeedSpec(first_token=False)
    tokens = tokenize_to_disk(tokenizer, texts, max_length=min(LONGEST, longest_text(tokenizer, encoder)))
    rows = scoring_batches(tokens.lengths, BATCH)

    def mean(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        if forward is not None:
            hidden = forward.run(forward.embed(inputs), inputs, precision=precision, speed=every_token).float()  # (B, T, H)
        else:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                hidden = model.base_model(**inputs).last_hidden_state.float()  # (B, T, H)
        mask = inputs["attention_mask"][:, :, None]  # (B, T, 1)
        return (hidden * mask).sum(1) / mask.sum(1)  # (B, H)

    with in_eval_mode(model):
        batches = padded_batches(tokens, rows, Padding.of(tokenizer))
        outputs = (to_array(mean(to_tensors(batch, device))) for batch in batches)
        return gathered(rows, outputs, shape=(len(texts), encoder.hidden))
