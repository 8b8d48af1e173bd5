"""Readers of datasets, one file each, and of your own folders."""
