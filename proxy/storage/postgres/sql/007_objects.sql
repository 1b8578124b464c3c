-- What upstreams made for accounts and know by ids: responses, videos. An object belongs to the call that made it, and
-- from `expires_at_us` on there is none. Lists go by kind and time; a job is found by its call.
CREATE TABLE objects (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    upstream TEXT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    created_at_us BIGINT NOT NULL,
    seen TEXT NOT NULL,
    expires_at_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE INDEX objects_of_kind ON objects (account_id, kind, created_at_us, id);
CREATE INDEX objects_of_call ON objects (account_id, call_id);

-- Work that one process does for all, and which does it until when.
CREATE TABLE leases (
    name TEXT COLLATE "C" PRIMARY KEY,
    owner TEXT COLLATE "C" NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL
);

-- Only the hold of a job has a deadline, until it is closed.
CREATE INDEX holds_running ON holds (id) WHERE deadline_us IS NOT NULL;
