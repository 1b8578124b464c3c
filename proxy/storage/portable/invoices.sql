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
-- The invoice of an account's latest month.
SELECT {invoices.shown}
FROM invoices
WHERE account_id = :account_id
ORDER BY period DESC
LIMIT 1;

-- name: invoice_of_month
-- An account's invoice of a month.
SELECT {invoices.shown}
FROM invoices
WHERE account_id = :account_id AND period = :period;

-- name: invoice_by_id
-- One invoice.
SELECT {invoices.shown}
FROM invoices
WHERE id = :id;

-- name: invoices_page
-- Invoices of all accounts, or of one, newest first, without what is long of them.
SELECT id, number, account_id, period, opening_nano, credits_nano, charges_nano, closing_nano, debt_nano, issued_at_us
FROM invoices
WHERE id < COALESCE(NULLIF(:cursor, ''), '~') AND (:account_id = '' OR account_id = :account_id)
ORDER BY id DESC
LIMIT :limit;

-- name: accounts_to_invoice
-- Accounts with entries, and without an invoice of a month or a later one, from after one of them on.
SELECT a.id
FROM accounts AS a
WHERE a.id > :after AND a.entries > 0
    AND NOT EXISTS (SELECT 1 FROM invoices AS i WHERE i.account_id = a.id AND i.period >= :period)
ORDER BY a.id
LIMIT :limit;
