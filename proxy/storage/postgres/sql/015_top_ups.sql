-- Money that accounts pay in through a provider, whether it was paid yet or not.
CREATE TABLE top_ups (
    account_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    provider TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('request', 'automatic')),
    package TEXT NOT NULL,
    price_cents BIGINT NOT NULL CHECK (price_cents > 0),
    fee_cents BIGINT NOT NULL CHECK (fee_cents >= 0 AND fee_cents < price_cents),
    credit_nano BIGINT NOT NULL CHECK (credit_nano > 0),
    bonus_nano BIGINT NOT NULL CHECK (bonus_nano >= 0),
    days BIGINT NOT NULL CHECK (days >= 0),
    created_at_us BIGINT NOT NULL,
    expires_at_us BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed', 'expired')),
    reference TEXT NOT NULL,
    url TEXT NOT NULL,
    reason TEXT NOT NULL,
    closed_at_us BIGINT NOT NULL,
    lot_id TEXT NOT NULL,
    bonus_lot_id TEXT NOT NULL,
    refunded_cents BIGINT NOT NULL CHECK (refunded_cents >= 0),
    disputed_cents BIGINT NOT NULL CHECK (disputed_cents >= 0),
    returned_nano BIGINT NOT NULL CHECK (returned_nano BETWEEN 0 AND credit_nano),
    owed_nano BIGINT NOT NULL CHECK (owed_nano BETWEEN 0 AND returned_nano),
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);

CREATE INDEX top_ups_newest ON top_ups (created_at_us, id);
CREATE INDEX top_ups_of_account ON top_ups (account_id, created_at_us, id);
CREATE INDEX top_ups_pending ON top_ups (account_id, expires_at_us) WHERE state = 'pending';

-- Which top-up a provider means by a name of its own: a payment, or a page on which it is made. No name stands for two.
CREATE TABLE top_up_references (
    provider TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    top_up_id TEXT COLLATE "C" NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (provider, reference)
);

CREATE INDEX top_up_references_of_account ON top_up_references (account_id, top_up_id);
