"""What recipes and run folders call each task."""

SINGLE_LABEL, MULTI_LABEL = "single-label", "multi-label"
TASKS = (SINGLE_LABEL, MULTI_LABEL)
