"""What is looked for: our own recognisers, one file for each kind of data."""
