"""What recipes and run folders call each task."""

SINGLE_LABEL, MULTI_LABEL, LABEL_COLUMNS = "single-label", "multi-label", "label-columns"
TASKS = (SINGLE_LABEL, MULTI_LABEL, LABEL_COLUMNS)
