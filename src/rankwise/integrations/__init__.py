"""What connects runs with tools that people have already: a file for each, imported where it is asked for."""
