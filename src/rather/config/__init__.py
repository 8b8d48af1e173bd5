"""Settings with bounds, and errors in one line."""
