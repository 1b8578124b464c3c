-- What has become of telling endpoints of events.
CREATE TABLE deliveries (
    account_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    endpoint TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    at_us BIGINT NOT NULL,
    next_at_us BIGINT NOT NULL,
    status BIGINT NOT NULL,
    reason TEXT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, event_id, endpoint)
);

-- Each endpoint has a queue of its own; what is in it is looked up by the time at which it is due.
CREATE INDEX deliveries_due ON deliveries (endpoint, next_at_us, account_id, event_id) WHERE state = 'pending';
CREATE INDEX deliveries_by_state ON deliveries (endpoint, state, at_us, account_id, event_id);

-- What expires within some days, to tell of it before.
CREATE INDEX lots_expiring ON lots (expires_at_us, account_id, id)
WHERE remaining_nano > 0 AND expires_at_us < 4611686018427387904;
