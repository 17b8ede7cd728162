"""Money: the most a request can cost, and ledgers that are never overspent."""
