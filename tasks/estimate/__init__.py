"""What a plan will take: workload, pilot, forecast."""
