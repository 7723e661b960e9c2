"""What Windvane needs from the outside, as protocols and plain records."""
