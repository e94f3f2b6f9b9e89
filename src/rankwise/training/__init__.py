"""Fitting a planned classifier to prepared data."""
