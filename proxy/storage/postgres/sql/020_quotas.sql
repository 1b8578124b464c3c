-- How many calls of each quota an account has made on a day, until when it has settled what it committed to spend, and how
-- much it held elsewhere, as of when. Seals are of all columns: those of the rows that are there are made anew as these change.
ALTER TABLE memberships RENAME TO earlier_memberships;
DROP INDEX memberships_due;

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
    quota_day BIGINT NOT NULL,
    used TEXT NOT NULL,
    settled_us BIGINT NOT NULL,
    held BIGINT NOT NULL CHECK (held >= 0),
    held_at_us BIGINT NOT NULL,
    seal BIGINT
);

CREATE INDEX memberships_due ON memberships (due_us, account_id);

INSERT INTO memberships
SELECT account_id, "group", since_us, due_us, renewed_us, plan, anchor_us, paid_from_us, paid_until_us, paid_nano,
    included_nano, unpaid_us, 0, '[]', 0, 0, 0, NULL
FROM earlier_memberships;

DROP TABLE earlier_memberships;
