"""What continuous batching brings, beside the same library used one request at a time."""
