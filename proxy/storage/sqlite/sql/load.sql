-- What a batch loads before its rules run. The only parameter is a JSON array of ids, or of arrays that are ids.
-- Columns come in the order of the fields of the ledger's values.

-- name: load_accounts
-- Accounts by id.
SELECT id, name, created_at_us, status, balance_nano, held_nano, debt_nano, credit_limit_nano, open_holds, entries,
    next_expiry_us, limits, spending
FROM accounts
WHERE id IN (SELECT value FROM json_each(?));

-- name: load_keys
-- Keys by id.
SELECT id, account_id, name, digest, hint, created_at_us, status, expires_at_us, models, limits, open_holds, spending
FROM keys
WHERE id IN (SELECT value FROM json_each(?));

-- name: load_key_by_digest
-- The key with a digest.
SELECT id, account_id, name, digest, hint, created_at_us, status, expires_at_us, models, limits, open_holds, spending
FROM keys
WHERE digest = ?;

-- name: load_lots
-- Lots with something left, by account.
SELECT id, account_id, kind, amount_nano, remaining_nano, priority, granted_at_us, expires_at_us
FROM lots
WHERE account_id IN (SELECT value FROM json_each(?)) AND remaining_nano > 0;

-- name: load_buckets
-- Buckets that have ended, by scope, window and first day.
SELECT b.scope_id, b."window", b.start_day, b.spent_nano, b.held_nano
FROM json_each(?) AS j
CROSS JOIN buckets AS b ON b.scope_id = j.value ->> 0 AND b."window" = j.value ->> 1 AND b.start_day = j.value ->> 2;

-- name: load_throttles
-- Throttles of both kinds, by scope.
SELECT scope_id, kind, level, at_us
FROM throttles
WHERE scope_id IN (SELECT value FROM json_each(?));

-- name: load_commands
-- Commands by account and id.
SELECT c.account_id, c.command_id, c.digest, c.at_us
FROM json_each(?) AS j
CROSS JOIN commands AS c ON c.account_id = j.value ->> 0 AND c.command_id = j.value ->> 1;

-- name: load_holds
-- Holds by id; the call of a closed one comes from its receipt.
SELECT h.id, h.account_id, h.key_id, h.amount_nano, h.tokens, h.state, h.created_at_us, h.owner,
    coalesce(h.call, (
        SELECT json_array(
            u.endpoint, u.model, u.upstream, u.upstream_model, json(iif(u.stream, 'true', 'false')), u.started_at_us
        )
        FROM receipts AS u
        WHERE u.account_id = h.account_id AND u.id = h.id
    )),
    h.observed
FROM holds AS h
WHERE h.id IN (SELECT value FROM json_each(?));

-- name: load_open_holds
-- The open holds of accounts.
SELECT id, account_id, key_id, amount_nano, tokens, state, created_at_us, owner, call, observed
FROM holds
WHERE state = 'open' AND account_id IN (SELECT value FROM json_each(?));

-- name: load_all_open_holds
-- Every open hold, oldest first. The index has nothing but these, while the table has every call ever made.
SELECT id, account_id, key_id, amount_nano, tokens, state, created_at_us, owner, call, observed
FROM holds INDEXED BY holds_open
WHERE state = 'open'
ORDER BY id;
