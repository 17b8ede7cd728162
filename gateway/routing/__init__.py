"""Which of the permitted targets to try, in which order: filters are hard, latency and price only rank."""
