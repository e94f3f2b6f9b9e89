"""Runs behind HTTP: bytes → a wire module reads them → questions to named runs → a queue → an engine → predictions → bytes.

`catalogue` has the runs, `questions` and `states` say which run answers what and with which text, `queue` bounds what waits,
`engine` computes, `wire/` has a file for each family of clients, `app` the routes, `server` the process with its signals.
"""
