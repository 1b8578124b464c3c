-- Entries of two more kinds: what an operator voids of a lot, and what is refunded of a lot or of a call. Those that are
-- there are of the other four, and need not be looked at.
ALTER TABLE entries DROP CONSTRAINT entries_kind_check;
ALTER TABLE entries ADD CONSTRAINT entries_kind_check
    CHECK (kind IN ('grant', 'charge', 'expire', 'adjust', 'void', 'refund')) NOT VALID;

-- What was refunded of a call. No other entry is in it.
CREATE INDEX entries_refunded ON entries (account_id, ref) WHERE kind = 'refund';
