"""Edits of feature cells: scored, searched, relaxed, solved exactly, and shown in the image."""
