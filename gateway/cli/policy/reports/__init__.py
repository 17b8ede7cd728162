"""Reports of the analysis: what was found, as values, and the formats that print them."""
