"""Edits of feature cells: scoring them, searching them, and showing them in the image."""
