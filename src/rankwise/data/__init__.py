"""Labelled text on its way from files to tokens: read, cleaned, audited, split."""
