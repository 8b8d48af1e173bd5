"""Pictures of results: PNG bytes, and a sheet of queries, counterfactuals and what changed."""
