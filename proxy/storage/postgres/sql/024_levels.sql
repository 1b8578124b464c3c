-- How much there is of things that accounts use over time, and until when that is charged.
CREATE TABLE levels (
    account_id TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    thing TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    began_us BIGINT NOT NULL,
    since_us BIGINT NOT NULL,
    charged_us BIGINT NOT NULL,
    carry BIGINT NOT NULL CHECK (carry >= 0 AND carry < 3600000000),
    told TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('used', 'ended', 'stopped')),
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, type, thing)
);

-- Those that a round looks at: there is something of them that is not charged.
CREATE INDEX levels_due ON levels (type, account_id, thing) WHERE since_us < 4611686018427387904;
