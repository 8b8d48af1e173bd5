"""Statistics that tables share: intervals, ranks, resampling."""
