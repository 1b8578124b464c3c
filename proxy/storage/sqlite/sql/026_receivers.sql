-- Where accounts have themselves told of their own events. Secrets are not stored: they follow from a configured one.
CREATE TABLE receivers (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    types TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    created_at_us INTEGER NOT NULL,
    rotated_at_us INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
