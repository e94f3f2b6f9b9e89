"""This machine and process: cores, memory, devices, files, caches, events."""
