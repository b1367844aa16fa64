"""The benchmark: every method and every network against ground truth. Nothing of it is on the path of a run."""
