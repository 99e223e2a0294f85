"""Time, memory and processes of a training."""
