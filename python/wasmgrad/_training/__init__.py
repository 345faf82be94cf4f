"""Guests that train: their options, the run in a child process, its events and results, and training from arrays."""
