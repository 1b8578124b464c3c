-- What groups give their accounts and ask of them: one row for each account that has been in one. The others do not pay
-- for it. It is sealed when it is first written.
CREATE TABLE memberships (
    account_id TEXT PRIMARY KEY NOT NULL,
    "group" TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    due_us INTEGER NOT NULL,
    renewed_us INTEGER NOT NULL,
    plan TEXT NOT NULL,
    anchor_us INTEGER NOT NULL,
    paid_from_us INTEGER NOT NULL,
    paid_until_us INTEGER NOT NULL,
    paid_nano INTEGER NOT NULL CHECK (paid_nano >= 0),
    included_nano INTEGER NOT NULL CHECK (included_nano >= 0),
    unpaid_us INTEGER NOT NULL,
    seal INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX memberships_due ON memberships (due_us, account_id);

INSERT INTO memberships
SELECT id, "group", created_at_us, 0, 0, '', 0, 0, 0, 0, 0, 0, NULL
FROM accounts
WHERE "group" <> '';

-- Entries of one more kind: the fees of plans. A constraint cannot be changed, so the table is made anew.
CREATE TABLE entries_of_more_kinds (
    account_id TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'charge', 'expire', 'adjust', 'void', 'refund', 'fee')),
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

CREATE INDEX entries_refunded ON entries (account_id, ref) WHERE kind = 'refund';
