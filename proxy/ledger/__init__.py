"""Accounts, lots, holds and entries: the rules of the money, its verbs, and the store they need."""
