"""Searching a space of recipes: many trials, each scored on validation rows, none of them trained twice."""
