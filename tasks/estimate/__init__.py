"""Time, images, bytes and money that a plan will need: workload, pilot, forecast."""
