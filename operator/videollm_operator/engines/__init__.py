"""What each inference engine can serve, and the arguments it takes for a plan."""
