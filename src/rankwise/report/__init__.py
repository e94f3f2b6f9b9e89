"""Reports: finished runs, or a study, as one page that needs no network, and its figures as files.

Importing it raises MissingExtra where the extra `report` is not installed.
"""

from rankwise.errors import require

for _library in ("jinja2", "matplotlib"):
    require(_library, extra="report")
