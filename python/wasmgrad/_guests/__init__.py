"""Compiling and starting guest programs."""
