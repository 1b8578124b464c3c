"""The storage engines. Each is a `Store` of the ledger."""
