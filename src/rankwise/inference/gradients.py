"""What each token adds to a margin, by integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365).

The margin's gradient is averaged along the straight line from the word embeddings of a text whose tokens are all masked to
those of the text itself, at the nodes of Gauss and Legendre. Times the difference of the embeddings it is each token's share;
shares add up to the difference of the margins, but for what few nodes miss. Special tokens stay as they are. The model
computes as transformers made it, in fp32. Shapes: T tokens of a window, K nodes, H hidden, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rankwise.data.batches import collate
from rankwise.data.tokens import token_spans, tokenize
from rankwise.inference.explain import Explainer, Look, Pieces
from rankwise.inference.predict import TokenPredictor
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.classifier import Classifier, to_tensors

NODES = (16, 32, 64, 128, 256)  # as many as it takes, each number twice as dear as the one before
CLOSE, CLOSE_SHARE = 0.02, 0.02  # what the scores may miss of the difference of the margins: so much, or such a share of it
AT_ONCE = 16  # nodes in a forward pass

Inputs = dict[str, torch.Tensor]


class GradientExplainer(Explainer):
    """Explains what an encoder predicts."""

    def __init__(self, classifier: Classifier, predictor: TokenPredictor, *, mask: int) -> None:
        """`mask` is the token that hides another."""
        super().__init__(predictor)
        self.tokenizer, self.padding, self.mask = predictor.tokenizer, predictor.padding, mask
        self.margins = Margins(classifier)

    @classmethod
    def of(cls, classifier: Classifier, tokenizer: Any, preprocessing: Any) -> GradientExplainer:
        """One that predicts with the same classifier. A tokenizer without a mask hides tokens as padding."""
        predictor = TokenPredictor(TorchScorer(classifier), tokenizer, preprocessing)
        mask = getattr(tokenizer, "mask_token_id", None)
        return cls(classifier, predictor, mask=tokenizer.pad_token_id if mask is None else mask)

    def look(self, clean: str) -> Look:
        limits = self.preprocessing.limits
        tokens = tokenize(self.tokenizer, [clean], **limits)
        spans = token_spans(self.tokenizer, clean, **limits)
        assert [len(window) for window in spans] == tokens.lengths.tolist(), "spans of other tokens than those that are read"
        device = self.margins.classifier.device
        windows = [to_tensors(collate(tokens, [number], self.padding), device) for number in range(len(tokens))]
        logits = np.mean([self.margins.logits(window) for window in windows], axis=0)

        def attribute(contrast: NDArray[np.float64]) -> tuple[Pieces, float]:
            pieces, hidden_margin = [], 0.0
            for window, places in zip(windows, spans, strict=True):
                special = torch.tensor([place is None for place in places], device=device)
                hidden = window["input_ids"].masked_fill(~special, self.mask)
                scores, margin = self.margins.attributed(window, hidden, contrast)
                hidden_margin += margin / len(windows)
                pieces += [(*place, score / len(windows)) for place, score in zip(places, scores, strict=True) if place]
            return pieces, hidden_margin

        probabilities = self.predictor.task.probabilities(logits[None].astype(np.float32))[0]
        return Look(probabilities, logits, attribute)


class Margins:
    """A classifier's logits as functions of the word embeddings."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier, self.model = classifier, classifier.model.eval()
        self.embeddings = classifier.transformers_model.get_input_embeddings()

    @torch.no_grad()
    def logits(self, window: Inputs) -> NDArray[np.float64]:
        """(C,) of a window, a batch of one."""
        return self._of(window, self.embeddings(window["input_ids"]))[0].cpu().numpy()

    def attributed(self, window: Inputs, hidden: torch.Tensor, contrast: NDArray[np.float64]) -> tuple[list[float], float]:
        """Each token's share of the margin (T,), and the margin of the window with the token ids `hidden` (1, T)."""
        margin, hidden_margin = (
            float(self.logits({**window, "input_ids": ids}) @ contrast) for ids in (window["input_ids"], hidden)
        )
        with torch.no_grad():
            whole, start = self.embeddings(window["input_ids"]), self.embeddings(hidden)  # (1, T, H) each
        weights = torch.from_numpy(contrast).to(whole)
        for count in NODES:
            shares = self._integrated(window, start, whole - start, weights, count)
            missed = abs(margin - hidden_margin - sum(shares))
            if missed <= max(CLOSE, CLOSE_SHARE * abs(margin - hidden_margin)):
                break
        return shares, hidden_margin

    def _integrated(
        self, window: Inputs, start: torch.Tensor, difference: torch.Tensor, contrast: torch.Tensor, count: int
    ) -> list[float]:
        """Each token's share (T,) of the margin, from the gradients at `count` nodes on the line from `start` (1, T, H)."""
        mean = torch.zeros_like(difference[0])  # (T, H)
        for nodes, weights in _nodes(count):
            line = (start + torch.from_numpy(nodes).to(start)[:, None, None] * difference).requires_grad_()  # (K, T, H)
            repeated = {name: tensor.expand(len(nodes), -1) for name, tensor in window.items()}
            (gradient,) = torch.autograd.grad((self._of(repeated, line) @ contrast.double()).sum(), line)
            mean += torch.einsum("k,kth->th", torch.from_numpy(weights).to(gradient), gradient)
        return [float(share) for share in (mean * difference[0]).sum(-1).tolist()]

    def _of(self, window: Inputs, embedded: torch.Tensor) -> torch.Tensor:
        """Logits (K, C) of embedded tokens (K, T, H)."""
        others = {name: tensor for name, tensor in window.items() if name != "input_ids"}
        logits: torch.Tensor = self.model(inputs_embeds=embedded, **others).logits
        return logits.double()


def _nodes(count: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The nodes between 0 and 1 and their weights, which sum to 1, as many at a time as a pass takes."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    for first in range(0, count, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        yield (nodes[part] + 1) / 2, weights[part] / 2
