-- What was invoiced, fixed when it was issued: the entries of an account from one number to another, for a month such as
-- 2027-03. Lines, what paid for them and who issued them are JSON.
CREATE TABLE invoices (
    account_id TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    number TEXT NOT NULL,
    first_seq BIGINT NOT NULL CHECK (first_seq > 0),
    last_seq BIGINT NOT NULL CHECK (last_seq >= first_seq),
    opening_nano BIGINT NOT NULL,
    credits_nano BIGINT NOT NULL CHECK (credits_nano >= 0),
    charges_nano BIGINT NOT NULL CHECK (charges_nano >= 0),
    closing_nano BIGINT NOT NULL,
    debt_nano BIGINT NOT NULL CHECK (debt_nano >= 0),
    issued_at_us BIGINT NOT NULL,
    lines TEXT NOT NULL,
    paid TEXT NOT NULL,
    parties TEXT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, period),
    CHECK (opening_nano + credits_nano - charges_nano = closing_nano)
);
