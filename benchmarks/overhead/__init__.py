"""What a gateway costs: requests per second, added latency and memory, measured beside its peers."""
