-- An invoice may be a part of its month that was issued early; part 0 ends the month. What credit notes are of is on no line
-- of an invoice, and is a figure of its own. The table is made anew, as its key and its sum change.
CREATE TABLE invoices_with_parts (
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
    part INTEGER NOT NULL CHECK (part >= 0),
    noted_nano INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, period, part),
    CHECK (opening_nano + noted_nano + credits_nano - charges_nano = closing_nano)
) STRICT, WITHOUT ROWID;
INSERT INTO invoices_with_parts
SELECT
    account_id, period, id, number, first_seq, last_seq, opening_nano, credits_nano, charges_nano, closing_nano,
    debt_nano, issued_at_us, lines, paid, parties, 0, 0, seal
FROM invoices;
DROP TABLE invoices;
ALTER TABLE invoices_with_parts RENAME TO invoices;

-- What was refunded of what is on an invoice, once for each entry of a refund that is on none itself.
CREATE TABLE credit_notes (
    account_id TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    id TEXT NOT NULL UNIQUE,
    number TEXT NOT NULL,
    serial INTEGER NOT NULL CHECK (serial > 0),
    invoice_id TEXT NOT NULL,
    invoice_number TEXT NOT NULL,
    of_seq INTEGER NOT NULL CHECK (of_seq > 0 AND of_seq < seq),
    amount_nano INTEGER NOT NULL CHECK (amount_nano <> 0),
    ref TEXT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT NOT NULL,
    issued_at_us INTEGER NOT NULL,
    parties TEXT NOT NULL,
    seal INTEGER NOT NULL,
    PRIMARY KEY (account_id, seq),
    UNIQUE (account_id, serial)
) STRICT, WITHOUT ROWID;

-- Refunds of all accounts in the order of time, to find those that have to be noted.
CREATE INDEX entries_refunded_at ON entries (at_us, account_id, seq) WHERE kind = 'refund';
