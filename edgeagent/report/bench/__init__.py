"""What a benchmark of the raw engine says: rates, intervals, and how close to the limit."""
