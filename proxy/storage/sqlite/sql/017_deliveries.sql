-- What has become of telling endpoints of events.
CREATE TABLE deliveries (
    account_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    at_us INTEGER NOT NULL,
    next_at_us INTEGER NOT NULL,
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, event_id, endpoint)
) STRICT, WITHOUT ROWID;

-- Each endpoint has a queue of its own; what is in it is looked up by the time at which it is due.
CREATE INDEX deliveries_due ON deliveries (endpoint, next_at_us, account_id, event_id) WHERE state = 'pending';
CREATE INDEX deliveries_by_state ON deliveries (endpoint, state, at_us, account_id, event_id);

-- What expires within some days, to tell of it before.
CREATE INDEX lots_expiring ON lots (expires_at_us, account_id, id)
WHERE remaining_nano > 0 AND expires_at_us < 4611686018427387904;
