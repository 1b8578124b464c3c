-- What groups give their accounts and ask of them: one row for each account that has been in one. The others do not pay
-- for it. It is sealed when it is first written.
CREATE TABLE memberships (
    account_id TEXT COLLATE "C" PRIMARY KEY,
    "group" TEXT COLLATE "C" NOT NULL,
    since_us BIGINT NOT NULL,
    due_us BIGINT NOT NULL,
    renewed_us BIGINT NOT NULL,
    plan TEXT NOT NULL,
    anchor_us BIGINT NOT NULL,
    paid_from_us BIGINT NOT NULL,
    paid_until_us BIGINT NOT NULL,
    paid_nano BIGINT NOT NULL CHECK (paid_nano >= 0),
    included_nano BIGINT NOT NULL CHECK (included_nano >= 0),
    unpaid_us BIGINT NOT NULL,
    seal BIGINT
);

CREATE INDEX memberships_due ON memberships (due_us, account_id);

INSERT INTO memberships
SELECT id, "group", created_at_us, 0, 0, '', 0, 0, 0, 0, 0, 0, NULL
FROM accounts
WHERE "group" <> '';

-- Entries of one more kind: the fees of plans. Those that are there are of the others, and need not be looked at.
ALTER TABLE entries DROP CONSTRAINT entries_kind_check;
ALTER TABLE entries ADD CONSTRAINT entries_kind_check
    CHECK (kind IN ('grant', 'charge', 'expire', 'adjust', 'void', 'refund', 'fee')) NOT VALID;
