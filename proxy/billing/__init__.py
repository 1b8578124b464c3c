"""What surrounds the ledger: what is billed beside calls, and what money in and out goes through."""
