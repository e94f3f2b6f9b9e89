"""The command line: one typer app, a file for each verb, and what a terminal shows."""
