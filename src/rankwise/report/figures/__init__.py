"""Figures of a report, drawn once for page and file."""
