"""The benchmark: every method and every network measured against ground truth. A run imports none of it."""
