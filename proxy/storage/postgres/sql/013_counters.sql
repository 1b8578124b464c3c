-- What accounts have used in a window, by the name of what counts it: prices with tiers depend on that.
CREATE TABLE counters (
    account_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    "window" TEXT COLLATE "C" NOT NULL CHECK ("window" IN ('day', 'week', 'month', 'total')),
    start_day BIGINT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity >= 0),
    volume TEXT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, "window", start_day, name)
);
