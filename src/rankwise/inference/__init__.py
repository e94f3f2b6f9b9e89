"""A trained classifier at work: logits, scores, predictions, and what it must beat."""
