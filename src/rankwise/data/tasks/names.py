"""What recipes and run folders call each task."""

SINGLE_LABEL, ORDERED, MULTI_LABEL, LABEL_COLUMNS = "single-label", "ordered", "multi-label", "label-columns"
REGRESSION = "regression"
ONE_LABEL = (SINGLE_LABEL, ORDERED)  # the tasks whose labels are one class number for each text
TASKS = (SINGLE_LABEL, ORDERED, MULTI_LABEL, LABEL_COLUMNS, REGRESSION)
