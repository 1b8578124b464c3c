-- End users of accounts that limits count: their own limits, their calls in flight, and what they have spent and hold.
CREATE TABLE end_users (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    limits TEXT NOT NULL,
    open_holds INTEGER NOT NULL CHECK (open_holds >= 0),
    kept_until_us INTEGER NOT NULL,
    sums TEXT NOT NULL,
    levels TEXT NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- Those that are forgotten once nothing of them is counted any more.
CREATE INDEX end_users_idle ON end_users (kept_until_us) WHERE open_holds = 0 AND limits = '{}';
