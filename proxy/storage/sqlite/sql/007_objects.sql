-- What upstreams made for accounts and know by ids: responses, videos. An object belongs to the call that made it, and
-- from `expires_at_us` on there is none. Lists go by kind and time; a job is found by its call.
CREATE TABLE objects (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    upstream TEXT NOT NULL,
    key_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    model TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    seen TEXT NOT NULL,
    expires_at_us INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX objects_of_kind ON objects (account_id, kind, created_at_us, id);
CREATE INDEX objects_of_call ON objects (account_id, call_id);

-- Only the hold of a job has a deadline, until it is closed.
CREATE INDEX holds_running ON holds (id) WHERE deadline_us IS NOT NULL;
