"""What finding costs: time by length, beside stock Presidio in the same run; and what the event loop feels of it."""
