-- What a batch loads before its rules run. The only parameter is a JSON array of ids, or of arrays of ids.
-- Columns come in the order of the fields of the ledger's values.

-- name: load_accounts
-- Accounts by id.
SELECT {accounts.columns}
FROM accounts
WHERE id IN (SELECT value FROM json_each(?));

-- name: load_keys
-- Keys by account and id.
SELECT {keys.columns:k}
FROM json_each(?) AS j
CROSS JOIN keys AS k ON k.account_id = j.value ->> 0 AND k.id = j.value ->> 1;

-- name: load_caller_by_digest
-- The key with a digest, and the group of its account.
SELECT {keys.columns:k}, a."group"
FROM key_digests AS d
CROSS JOIN keys AS k ON k.account_id = d.account_id AND k.id = d.key_id
CROSS JOIN accounts AS a ON a.id = d.account_id
WHERE d.digest = ?;

-- name: load_lots
-- Lots with something left, by account.
SELECT {lots.columns}
FROM lots
WHERE account_id IN (SELECT value FROM json_each(?)) AND remaining_nano > 0;

-- name: load_buckets
-- Buckets that have ended, by account, scope, window and first day.
SELECT {buckets.columns:b}
FROM json_each(?) AS j
CROSS JOIN buckets AS b ON b.account_id = j.value ->> 0 AND b.scope_id = j.value ->> 1
    AND b."window" = j.value ->> 2 AND b.start_day = j.value ->> 3;

-- name: load_throttles
-- Throttles of both kinds, by account and scope.
SELECT {throttles.columns:t}
FROM json_each(?) AS j
CROSS JOIN throttles AS t ON t.account_id = j.value ->> 0 AND t.scope_id = j.value ->> 1;

-- name: load_commands
-- Commands by account and id.
SELECT {commands.columns:c}
FROM json_each(?) AS j
CROSS JOIN commands AS c ON c.account_id = j.value ->> 0 AND c.command_id = j.value ->> 1;

-- name: load_entries
-- Entries by account and number.
SELECT {entries.columns:e}
FROM json_each(?) AS j
CROSS JOIN entries AS e ON e.account_id = j.value ->> 0 AND e.seq = j.value ->> 1;

-- name: load_named_lots
-- Lots by account and id, whether or not they have something left.
SELECT {lots.columns:l}
FROM json_each(?) AS j
CROSS JOIN lots AS l ON l.account_id = j.value ->> 0 AND l.id = j.value ->> 1;

-- name: load_refunds
-- What calls were refunded so far, by account and call.
SELECT e.account_id, e.ref, SUM(e.amount_nano)
FROM json_each(?) AS j
CROSS JOIN entries AS e INDEXED BY entries_refunded
    ON e.account_id = j.value ->> 0 AND e.ref = j.value ->> 1 AND e.kind = 'refund'
GROUP BY e.account_id, e.ref;

-- name: load_memberships
-- Memberships by account.
SELECT {memberships.columns}
FROM memberships
WHERE account_id IN (SELECT value FROM json_each(?));

-- name: load_vouchers
-- Vouchers by digest.
SELECT {vouchers.columns}
FROM vouchers
WHERE digest IN (SELECT value FROM json_each(?));

-- name: load_claims
-- Claims by the voucher's digest and account.
SELECT {voucher_claims.columns:c}
FROM json_each(?) AS j
CROSS JOIN voucher_claims AS c ON c.digest = j.value ->> 0 AND c.account_id = j.value ->> 1;

-- name: load_counters
-- Counters by account, name, window and first day.
SELECT {counters.columns:c}
FROM json_each(?) AS j
CROSS JOIN counters AS c ON c.account_id = j.value ->> 0 AND c.name = j.value ->> 1 AND c."window" = j.value ->> 2
    AND c.start_day = j.value ->> 3;

-- name: load_top_ups
-- Top-ups by account and id.
SELECT {top_ups.columns:t}
FROM json_each(?) AS j
CROSS JOIN top_ups AS t ON t.account_id = j.value ->> 0 AND t.id = j.value ->> 1;

-- name: load_pending
-- Pending top-ups by account.
SELECT {top_ups.columns}
FROM top_ups INDEXED BY top_ups_pending
WHERE state = 'pending' AND account_id IN (SELECT value FROM json_each(?));

-- name: load_auto_top_ups
-- How accounts are topped up by themselves.
SELECT {auto_top_ups.columns}
FROM auto_top_ups
WHERE account_id IN (SELECT value FROM json_each(?));

-- name: load_references
-- What providers call top-ups, by provider and name.
SELECT {top_up_references.columns:r}
FROM json_each(?) AS j
CROSS JOIN top_up_references AS r ON r.provider = j.value ->> 0 AND r.reference = j.value ->> 1;

-- name: load_invoices
-- Invoices by account and period, and the newest of each of these accounts.
SELECT {invoices.columns:i}
FROM json_each(?) AS j
CROSS JOIN invoices AS i ON i.account_id = j.value ->> 0
    AND (
        i.period = j.value ->> 1
        OR i.period = (SELECT max(n.period) FROM invoices AS n WHERE n.account_id = j.value ->> 0)
    );

-- name: load_events
-- Events by account and id.
SELECT {events.columns:e}
FROM json_each(?) AS j
CROSS JOIN events AS e ON e.account_id = j.value ->> 0 AND e.id = j.value ->> 1;

-- name: load_deliveries
-- Deliveries by account, event and endpoint.
SELECT {deliveries.columns:d}
FROM json_each(?) AS j
CROSS JOIN deliveries AS d ON d.account_id = j.value ->> 0 AND d.event_id = j.value ->> 1
    AND d.endpoint = j.value ->> 2;

-- name: load_objects
-- Objects by account and id.
SELECT {objects.columns:o}
FROM json_each(?) AS j
CROSS JOIN objects AS o ON o.account_id = j.value ->> 0 AND o.id = j.value ->> 1;

-- name: load_holds
-- Holds by id. The columns of a closed one are followed by its call, from the receipt.
SELECT {holds.columns:h}, iif(h.call IS NULL, (
        SELECT json_array({receipts.call:u})
        FROM receipts AS u
        WHERE u.account_id = h.account_id AND u.id = h.id
    ), NULL)
FROM holds AS h
WHERE h.id IN (SELECT value FROM json_each(?));

-- name: load_open_holds
-- The open holds of accounts.
SELECT {holds.columns}
FROM holds
WHERE state = 'open' AND account_id IN (SELECT value FROM json_each(?));

-- name: load_all_open_holds
-- Every open hold, oldest first. The index has nothing but these, while the table has every call ever made.
SELECT {holds.columns}
FROM holds INDEXED BY holds_open
WHERE state = 'open'
ORDER BY id;
