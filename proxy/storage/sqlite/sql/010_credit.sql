-- Entries of two more kinds: what an operator voids of a lot, and what is refunded of a lot or of a call. A constraint
-- cannot be changed, so the table is made anew.
CREATE TABLE entries_of_more_kinds (
    account_id TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'charge', 'expire', 'adjust', 'void', 'refund')),
    amount_nano INTEGER NOT NULL,
    balance_after_nano INTEGER NOT NULL CHECK (balance_after_nano >= 0),
    debt_after_nano INTEGER NOT NULL CHECK (debt_after_nano >= 0),
    ref TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    draws TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (account_id, seq)
) STRICT, WITHOUT ROWID;

INSERT INTO entries_of_more_kinds SELECT * FROM entries ORDER BY account_id, seq;
DROP TABLE entries;
ALTER TABLE entries_of_more_kinds RENAME TO entries;

CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries are immutable');
END;

CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries are immutable');
END;

-- What was refunded of a call. No other entry is in it.
CREATE INDEX entries_refunded ON entries (account_id, ref) WHERE kind = 'refund';

-- Codes that put credit in, by their digests. They are no account's; that one was claimed for an account lies with it.
CREATE TABLE vouchers (
    digest TEXT PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount_nano INTEGER NOT NULL CHECK (amount_nano > 0),
    uses INTEGER NOT NULL CHECK (uses > 0),
    days INTEGER NOT NULL CHECK (days >= 0),
    created_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    used INTEGER NOT NULL CHECK (used BETWEEN 0 AND uses),
    seal INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE voucher_claims (
    digest TEXT NOT NULL REFERENCES vouchers (digest),
    account_id TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (digest, account_id)
) STRICT, WITHOUT ROWID;
