"""The encoder, its head and its adapters."""
