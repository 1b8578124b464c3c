-- What invoices are made of, and what is read of them. Portable.

-- name: invoice_entries
-- The entries of an account from after a number on, each with the receipt that it is the charge of, if it is kept.
SELECT e.seq, e.kind, e.amount_nano, e.balance_after_nano, e.debt_after_nano, e.at_us, e.draws,
    u.model, u.price_id, u.lines, u.charge_nano
FROM entries AS e
LEFT JOIN holds AS h ON e.kind = 'charge' AND h.id = e.ref AND h.account_id = e.account_id
LEFT JOIN receipts AS u ON u.account_id = e.account_id AND u.id = h.id AND u.day = h.created_at_us / 86400000000
WHERE e.account_id = :account_id AND e.seq > :after
ORDER BY e.seq
LIMIT :limit;

-- name: lot_kinds
-- The kinds of all lots of an account, by id, from after one of them on.
SELECT id, kind
FROM lots
WHERE account_id = :account_id AND id > :after
ORDER BY id
LIMIT :limit;

-- name: newest_invoice
-- The invoice of an account that ends last.
SELECT {invoices.shown}
FROM invoices
WHERE account_id = :account_id
ORDER BY last_seq DESC
LIMIT 1;

-- name: invoice_of_month
-- An account's invoice that ends a month.
SELECT {invoices.shown}
FROM invoices
WHERE account_id = :account_id AND period = :period AND part = 0;

-- name: invoice_of_entry
-- The invoice of an account that an entry is on.
SELECT id, number, period, part
FROM invoices
WHERE account_id = :account_id AND first_seq <= :seq AND last_seq >= :seq;

-- name: invoice_by_id
-- One invoice.
SELECT {invoices.shown}
FROM invoices
WHERE id = :id;

-- name: invoices_page
-- Invoices of all accounts, or of one, newest first, without what is long of them.
SELECT id, number, account_id, period, opening_nano, credits_nano, charges_nano, closing_nano, debt_nano, issued_at_us,
    part, noted_nano
FROM invoices
WHERE id < COALESCE(NULLIF(:cursor, ''), '~') AND (:account_id = '' OR account_id = :account_id)
ORDER BY id DESC
LIMIT :limit;

-- name: accounts_to_invoice
-- Accounts with entries, and without an invoice that ends a month or is of a later one, from after one of them on.
SELECT a.id
FROM accounts AS a
WHERE a.id > :after AND a.entries > 0
    AND NOT EXISTS (
        SELECT 1 FROM invoices AS i
        WHERE i.account_id = a.id AND i.period >= :period AND (i.period > :period OR i.part = 0)
    )
ORDER BY a.id
LIMIT :limit;

-- name: accounts_on_credit
-- Accounts with a credit limit and entries, from after one of them on, and how many entries they have.
SELECT a.id, a.entries
FROM accounts AS a
WHERE a.id > :after AND a.credit_limit_nano > 0 AND a.entries > 0
ORDER BY a.id
LIMIT :limit;

-- name: usage_between
-- What an account was charged by its entries from after a number up to another one.
SELECT COALESCE(SUM(CASE WHEN kind = 'charge' THEN -amount_nano ELSE 0 END), 0) AS usage_nano
FROM entries
WHERE account_id = :account_id AND seq > :after AND seq <= :until;

-- name: refunds_since
-- Refunds of all accounts in the order of time, from after one of them on.
SELECT at_us, account_id, seq
FROM entries
WHERE kind = 'refund' AND (at_us, account_id, seq) > (:at_us, :account_id, :seq)
ORDER BY at_us, account_id, seq
LIMIT :limit;

-- name: refunds_on_no_paper
-- An account's refunds from after an entry on that no credit note is of. They are few beside its other entries.
SELECT e.seq, e.amount_nano, e.ref, e.note
FROM entries AS e
WHERE e.account_id = :account_id AND e.kind = 'refund' AND +e.seq > :after
    AND NOT EXISTS (SELECT 1 FROM credit_notes AS n WHERE n.account_id = e.account_id AND n.seq = e.seq);

-- name: lot_by_id
-- The kind of a lot of an account, and when it was made.
SELECT kind, granted_at_us
FROM lots
WHERE account_id = :account_id AND id = :id;

-- name: entries_made_at
-- The entries before another one that have put credit in at a time.
SELECT seq, draws
FROM entries
WHERE account_id = :account_id AND seq < :before AND at_us = :at_us AND kind IN ('grant', 'adjust') AND amount_nano > 0;

-- name: model_of_call
-- The model of an account's call.
SELECT model
FROM receipts
WHERE account_id = :account_id AND id = :call_id;

-- name: newest_credit_note
-- An account's credit note with the last serial.
SELECT serial
FROM credit_notes
WHERE account_id = :account_id
ORDER BY serial DESC
LIMIT 1;

-- name: credit_notes_since
-- Which entries of an account from after one on credit notes are of, and their amounts.
SELECT seq, amount_nano
FROM credit_notes
WHERE account_id = :account_id AND seq > :after;

-- name: credit_note_by_id
-- One credit note.
SELECT {credit_notes.shown}
FROM credit_notes
WHERE id = :id;

-- name: credit_notes_page
-- Credit notes of all accounts, or of one, newest first.
SELECT {credit_notes.shown}
FROM credit_notes
WHERE id < COALESCE(NULLIF(:cursor, ''), '~') AND (:account_id = '' OR account_id = :account_id)
ORDER BY id DESC
LIMIT :limit;
