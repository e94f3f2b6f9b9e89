"""A run in formats that other runtimes load."""
