-- How accounts are topped up by themselves.
CREATE TABLE auto_top_ups (
    account_id TEXT PRIMARY KEY NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('on', 'off')),
    threshold_nano INTEGER NOT NULL,
    amount_nano INTEGER NOT NULL,
    target_nano INTEGER NOT NULL,
    daily_nano INTEGER NOT NULL,
    monthly_nano INTEGER NOT NULL,
    customer TEXT NOT NULL,
    method TEXT NOT NULL,
    changed_at_us INTEGER NOT NULL,
    seal INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Those that a round looks at: few accounts have it on.
CREATE INDEX auto_top_ups_on ON auto_top_ups (account_id) WHERE state = 'on';
