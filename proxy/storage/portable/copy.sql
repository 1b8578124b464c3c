-- Whole tables, as they are copied into another database: all columns in the order of the schema, and rows in the
-- order of the primary key, so that the other database is filled from front to back. Portable.

-- name: copy_accounts
-- Every account.
SELECT id, name, created_at_us, status, balance_nano, held_nano, debt_nano, credit_limit_nano, open_holds, entries,
    next_expiry_us, limits, spending
FROM accounts
ORDER BY id;

-- name: copy_keys
-- Every key.
SELECT id, account_id, name, digest, hint, created_at_us, status, expires_at_us, models, limits, open_holds, spending
FROM keys
ORDER BY id;

-- name: copy_lots
-- Every lot.
SELECT id, account_id, kind, amount_nano, remaining_nano, priority, granted_at_us, expires_at_us
FROM lots
ORDER BY id;

-- name: copy_buckets
-- Every bucket that has ended.
SELECT scope_id, "window", start_day, spent_nano, held_nano
FROM buckets
ORDER BY scope_id, "window", start_day;

-- name: copy_throttles
-- Every throttle.
SELECT scope_id, kind, level, at_us
FROM throttles
ORDER BY scope_id, kind;

-- name: copy_holds
-- Every hold.
SELECT id, account_id, key_id, amount_nano, tokens, state, created_at_us, owner, call, observed
FROM holds
ORDER BY id;

-- name: copy_entries
-- Every entry.
SELECT account_id, seq, kind, amount_nano, balance_after_nano, debt_after_nano, ref, at_us, draws, note
FROM entries
ORDER BY account_id, seq;

-- name: copy_commands
-- Every command.
SELECT account_id, command_id, digest, at_us
FROM commands
ORDER BY account_id, command_id;

-- name: copy_receipts
-- Every receipt, in no order: what was written together lies together, and no index has to be followed for it.
SELECT id, account_id, key_id, endpoint, model, upstream, upstream_model, stream, started_at_us, outcome, status, basis,
    usage, ended_at_us, first_byte_at_us, anomalies, charge_nano, lines, price_id, charged_nano, shortfall_nano,
    hold_nano, day
FROM receipts;

-- name: copy_usage_days
-- Every usage day.
SELECT account_id, day, key_id, model, requests, input_tokens, cached_input_tokens, output_tokens, charged_nano
FROM usage_days
ORDER BY account_id, day, key_id, model;

-- name: copy_open_holds
-- How many holds are open.
SELECT COUNT(*)
FROM holds
WHERE state = 'open';
