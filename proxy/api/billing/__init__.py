"""An account's own API under /v1/billing."""
