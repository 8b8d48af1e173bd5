"""Runs: asked for, worked off, kept on disk, measured and taken elsewhere."""
