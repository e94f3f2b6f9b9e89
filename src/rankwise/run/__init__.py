"""The run folder: a trained classifier on disk, and its proof."""
