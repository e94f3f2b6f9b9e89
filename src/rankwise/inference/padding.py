"""Whether a text's answer goes by the texts beside it: what padding does to logits, measured on a classifier's own texts.

An encoder that mixes all places of a row, as Fourier transforms, convolutions and hashed attention do, sees padding whatever
the mask says. Shapes: N texts, B rows, T tokens, C classes.
"""

import numpy as np

from rankwise.data.batches import Padding, collate
from rankwise.data.tokens import Tokens
from rankwise.inference.scorer import Scorer

MOST = 8  # texts that are tried
ROUNDING = 1e-3  # of logits, relative and absolute, which sums in another order stay far below


def change_by_padding(scorer: Scorer, tokens: Tokens, padding: Padding) -> float:
    """The most that a logit of a short text changes beside the longest; 0 within rounding, and of texts of one length."""
    order = np.argsort(tokens.lengths, kind="stable")
    longest = order[-1] if len(order) else 0
    short = [row for row in order[:MOST] if tokens.lengths[row] < tokens.lengths[longest]]
    changes = []
    for row in short:
        alone = np.asarray(scorer.logits(collate(tokens, [row], padding)))  # (1, C)
        beside = np.asarray(scorer.logits(collate(tokens, [row, longest], padding)))[:1]  # (1, C)
        changes.append(
            0.0 if np.allclose(alone, beside, rtol=ROUNDING, atol=ROUNDING) else float(np.abs(alone - beside).max())
        )
    return max(changes, default=0.0)
