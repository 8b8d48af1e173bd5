"""Pages and pictures: the report of a run, a comparison, a benchmark, an audit."""
