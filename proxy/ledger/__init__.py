"""Accounts, lots, holds and entries: the rules of money, the ledger's verbs, and the store they need."""
