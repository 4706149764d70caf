"""What makes things that are shipped, and what brings Poetry in."""
