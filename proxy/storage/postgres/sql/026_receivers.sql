-- Where accounts have themselves told of their own events. Secrets are not stored: they follow from a configured one.
CREATE TABLE receivers (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    url TEXT NOT NULL,
    types TEXT NOT NULL,
    generation BIGINT NOT NULL CHECK (generation > 0),
    created_at_us BIGINT NOT NULL,
    rotated_at_us BIGINT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);
