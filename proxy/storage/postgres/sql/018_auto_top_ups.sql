-- How accounts are topped up by themselves.
CREATE TABLE auto_top_ups (
    account_id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('on', 'off')),
    threshold_nano BIGINT NOT NULL,
    amount_nano BIGINT NOT NULL,
    target_nano BIGINT NOT NULL,
    daily_nano BIGINT NOT NULL,
    monthly_nano BIGINT NOT NULL,
    customer TEXT NOT NULL,
    method TEXT NOT NULL,
    changed_at_us BIGINT NOT NULL,
    seal BIGINT NOT NULL
);

-- Those that a round looks at: few accounts have it on.
CREATE INDEX auto_top_ups_on ON auto_top_ups (account_id) WHERE state = 'on';
