-- What an account wants to be told of, where that differs from the configuration: JSON.
ALTER TABLE accounts ADD COLUMN alerts TEXT NOT NULL DEFAULT '{}';

-- What happened to accounts that somebody may want to be told of. The same cause has the same id.
CREATE TABLE events (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    place INTEGER NOT NULL CHECK (place > 0),
    data TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('new', 'routed')),
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- An account's events in their order, all that are old, and the few of which nobody has been told yet.
CREATE INDEX events_of_account ON events (account_id, at_us, place, id);
CREATE INDEX events_by_time ON events (at_us, place, id);
CREATE INDEX events_new ON events (at_us, place, id) WHERE state = 'new';
