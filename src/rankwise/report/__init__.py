"""Reports: finished runs, or a study, as one page that needs no network, and its figures as files."""
