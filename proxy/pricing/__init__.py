"""Rates, rate cards and price books: pure functions from usage to a charge."""
