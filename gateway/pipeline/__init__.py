"""The way of one request, and the egress guard: the only code that hands bytes to a provider."""
