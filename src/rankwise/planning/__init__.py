"""What trains, what it costs, and what a run will take; nothing here loads torch."""
