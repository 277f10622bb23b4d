"""What just happened, saved: writers that the buffer starts on its own ring, each for one file."""
