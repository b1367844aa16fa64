"""What a run is going to do, what it tries again, which request stands, how much is done."""
