"""The five published reports as data, and how each is run again."""
