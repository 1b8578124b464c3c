"""The engines that keep the ledger, each one a store in the ledger's sense."""
