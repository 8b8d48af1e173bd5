"""Pages that a person opens: reports, comparisons, and what they are made of."""
