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
