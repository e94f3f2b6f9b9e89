"""Several labels of one text in one string: a list of names, or an object with a label for each column, as JSON.

A table keeps one string for each row. What says that a text may have several labels (lists, columns of 0 and 1, annotation
tools) is written so; `joy,anger` in the cell of a CSV file stays as it is, for only all rows tell what it means.
"""

import json
from collections.abc import Iterable, Mapping


def as_list(names: Iterable[str]) -> str:
    """The names in the order given, each once: `["joy", "anger"]`."""
    return json.dumps(list(dict.fromkeys(names)), ensure_ascii=False)


def as_object(labels: Mapping[str, str]) -> str:
    """A label for each column that has one: `{"queue": "billing", "priority": "high"}`."""
    return json.dumps(dict(labels), ensure_ascii=False)
