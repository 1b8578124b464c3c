-- Entries of two more kinds: what an operator voids of a lot, and what is refunded of a lot or of a call. Those that are
-- there are of the other four, and need not be looked at.
ALTER TABLE entries DROP CONSTRAINT entries_kind_check;
ALTER TABLE entries ADD CONSTRAINT entries_kind_check
    CHECK (kind IN ('grant', 'charge', 'expire', 'adjust', 'void', 'refund')) NOT VALID;

-- What was refunded of a call. No other entry is in it. What is indexed sorts by its bytes.
ALTER TABLE entries ALTER COLUMN ref TYPE TEXT COLLATE "C";
CREATE INDEX entries_refunded ON entries (account_id, ref) WHERE kind = 'refund';

-- Codes that put credit in, by their digests. They are no account's; that one was claimed for an account lies with it.
CREATE TABLE vouchers (
    digest TEXT COLLATE "C" PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount_nano BIGINT NOT NULL CHECK (amount_nano > 0),
    uses BIGINT NOT NULL CHECK (uses > 0),
    days BIGINT NOT NULL CHECK (days >= 0),
    created_at_us BIGINT NOT NULL,
    expires_at_us BIGINT NOT NULL,
    used BIGINT NOT NULL CHECK (used BETWEEN 0 AND uses),
    seal BIGINT NOT NULL
);

CREATE TABLE voucher_claims (
    digest TEXT COLLATE "C" NOT NULL REFERENCES vouchers (digest),
    account_id TEXT COLLATE "C" NOT NULL,
    at_us BIGINT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (digest, account_id)
);
