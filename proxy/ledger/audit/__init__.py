"""The audit: what must hold between the rows of a ledger, worked out again from the rows alone."""
