-- How much there is of things that accounts use over time, and until when that is charged.
CREATE TABLE levels (
    account_id TEXT NOT NULL,
    type TEXT NOT NULL,
    thing TEXT NOT NULL,
    key_id TEXT NOT NULL,
    began_us INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    charged_us INTEGER NOT NULL,
    carry INTEGER NOT NULL CHECK (carry >= 0 AND carry < 3600000000),
    told TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('used', 'ended', 'stopped')),
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, type, thing)
) STRICT, WITHOUT ROWID;

-- Those that a round looks at: there is something of them that is not charged.
CREATE INDEX levels_due ON levels (type, account_id, thing) WHERE since_us < 4611686018427387904;
