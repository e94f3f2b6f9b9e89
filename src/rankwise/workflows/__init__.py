"""Whole tasks on a recipe or a run, each written straight down its file."""
