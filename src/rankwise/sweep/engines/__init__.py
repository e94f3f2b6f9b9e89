"""Where the trials of a sweep run: long-lived local processes, or a Ray cluster."""
