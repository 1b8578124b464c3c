-- What was invoiced, fixed when it was issued: the entries of an account from one number to another, for a month such as
-- 2027-03. Lines, what paid for them and who issued them are JSON.
CREATE TABLE invoices (
    account_id TEXT NOT NULL,
    period TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    number TEXT NOT NULL,
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    last_seq INTEGER NOT NULL CHECK (last_seq >= first_seq),
    opening_nano INTEGER NOT NULL,
    credits_nano INTEGER NOT NULL CHECK (credits_nano >= 0),
    charges_nano INTEGER NOT NULL CHECK (charges_nano >= 0),
    closing_nano INTEGER NOT NULL,
    debt_nano INTEGER NOT NULL CHECK (debt_nano >= 0),
    issued_at_us INTEGER NOT NULL,
    lines TEXT NOT NULL,
    paid TEXT NOT NULL,
    parties TEXT NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, period),
    CHECK (opening_nano + credits_nano - charges_nano = closing_nano)
) STRICT, WITHOUT ROWID;
