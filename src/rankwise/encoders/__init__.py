"""Encoders as facts: which tensors and linear layers they have, read from config.json without torch."""
