-- End users of accounts that limits count: their own limits, their calls in flight, and what they have spent and hold.
CREATE TABLE end_users (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    limits TEXT NOT NULL,
    open_holds BIGINT NOT NULL CHECK (open_holds >= 0),
    kept_until_us BIGINT NOT NULL,
    sums TEXT NOT NULL,
    levels TEXT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);

-- Those that are forgotten once nothing of them is counted any more.
CREATE INDEX end_users_idle ON end_users (kept_until_us) WHERE open_holds = 0 AND limits = '{}';
