-- What accounts have used in a window, by the name of what counts it: prices with tiers depend on that.
CREATE TABLE counters (
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    "window" TEXT NOT NULL CHECK ("window" IN ('day', 'week', 'month', 'total')),
    start_day INTEGER NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    volume TEXT NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, "window", start_day, name)
) STRICT, WITHOUT ROWID;
