-- What a batch loads before its rules run. The only parameter is a JSON array of ids, or of arrays that are ids.
-- Columns come in the order of the fields of the ledger's values.

-- name: load_accounts
-- Accounts by id.
SELECT {accounts.columns}
FROM accounts
WHERE id IN (SELECT value FROM json_each(?));

-- name: load_keys
-- Keys by id.
SELECT {keys.columns}
FROM keys
WHERE id IN (SELECT value FROM json_each(?));

-- name: load_key_by_digest
-- The key with a digest.
SELECT {keys.columns}
FROM keys
WHERE digest = ?;

-- name: load_lots
-- Lots with something left, by account.
SELECT {lots.columns}
FROM lots
WHERE account_id IN (SELECT value FROM json_each(?)) AND remaining_nano > 0;

-- name: load_buckets
-- Buckets that have ended, by scope, window and first day.
SELECT {buckets.columns:b}
FROM json_each(?) AS j
CROSS JOIN buckets AS b ON b.scope_id = j.value ->> 0 AND b."window" = j.value ->> 1 AND b.start_day = j.value ->> 2;

-- name: load_throttles
-- Throttles of both kinds, by scope.
SELECT {throttles.columns}
FROM throttles
WHERE scope_id IN (SELECT value FROM json_each(?));

-- name: load_commands
-- Commands by account and id.
SELECT {commands.columns:c}
FROM json_each(?) AS j
CROSS JOIN commands AS c ON c.account_id = j.value ->> 0 AND c.command_id = j.value ->> 1;

-- name: load_holds
-- Holds by id; behind the columns of a closed one comes its call, which its receipt has.
SELECT {holds.columns:h}, iif(h.call IS NULL, (
        SELECT json_array(
            u.endpoint, u.model, u.upstream, u.upstream_model, json(iif(u.stream, 'true', 'false')), u.started_at_us
        )
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
