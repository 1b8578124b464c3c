-- An invoice may be a part of its month that was issued early; part 0 ends the month. What credit notes are of is on no line
-- of an invoice, and is a figure of its own. The table is made anew, as its key and its sum change.
CREATE TABLE invoices_with_parts (
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
    part BIGINT NOT NULL CHECK (part >= 0),
    noted_nano BIGINT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, period, part),
    CHECK (opening_nano + noted_nano + credits_nano - charges_nano = closing_nano)
);
INSERT INTO invoices_with_parts
SELECT
    account_id, period, id, number, first_seq, last_seq, opening_nano, credits_nano, charges_nano, closing_nano,
    debt_nano, issued_at_us, lines, paid, parties, 0, 0, seal
FROM invoices;
DROP TABLE invoices;
ALTER TABLE invoices_with_parts RENAME TO invoices;

-- What was refunded of what is on an invoice, once for each entry of a refund that is on none itself.
CREATE TABLE credit_notes (
    account_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL CHECK (seq > 0),
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    number TEXT NOT NULL,
    serial BIGINT NOT NULL CHECK (serial > 0),
    invoice_id TEXT COLLATE "C" NOT NULL,
    invoice_number TEXT NOT NULL,
    of_seq BIGINT NOT NULL CHECK (of_seq > 0 AND of_seq < seq),
    amount_nano BIGINT NOT NULL CHECK (amount_nano <> 0),
    ref TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    issued_at_us BIGINT NOT NULL,
    parties TEXT NOT NULL,
    seal BIGINT NOT NULL,
    PRIMARY KEY (account_id, seq),
    UNIQUE (account_id, serial)
);

-- Refunds of all accounts in the order of time, to find those that have to be noted.
CREATE INDEX entries_refunded_at ON entries (at_us, account_id, seq) WHERE kind = 'refund';
