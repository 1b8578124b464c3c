-- How a batch writes what its rules changed. The row of a VALUES is repeated for as many rows as there are.

-- name: put_accounts
-- Add accounts or replace what can change of them.
INSERT INTO accounts (
    id, name, created_at_us, status, balance_nano, held_nano, debt_nano, credit_limit_nano, open_holds, entries,
    next_expiry_us, limits, spending
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    status = excluded.status,
    balance_nano = excluded.balance_nano,
    held_nano = excluded.held_nano,
    debt_nano = excluded.debt_nano,
    credit_limit_nano = excluded.credit_limit_nano,
    open_holds = excluded.open_holds,
    entries = excluded.entries,
    next_expiry_us = excluded.next_expiry_us,
    limits = excluded.limits,
    spending = excluded.spending;

-- name: put_keys
-- Add keys or replace what can change of them.
INSERT INTO keys (
    id, account_id, name, digest, hint, created_at_us, status, expires_at_us, models, limits, open_holds, spending
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name,
    status = excluded.status,
    expires_at_us = excluded.expires_at_us,
    models = excluded.models,
    limits = excluded.limits,
    open_holds = excluded.open_holds,
    spending = excluded.spending;

-- name: add_lots
-- Add lots.
INSERT INTO lots (id, account_id, kind, amount_nano, remaining_nano, priority, granted_at_us, expires_at_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: draw_lots
-- Note what is left of lots.
UPDATE lots SET remaining_nano = j.value FROM json_each(?) AS j WHERE lots.id = j.key;

-- name: put_buckets
-- Add buckets that have ended, or replace their sums.
INSERT INTO buckets (scope_id, "window", start_day, spent_nano, held_nano)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (scope_id, "window", start_day) DO UPDATE SET
    spent_nano = excluded.spent_nano,
    held_nano = excluded.held_nano;

-- name: put_throttles
-- Add throttles or replace their levels.
INSERT INTO throttles (scope_id, kind, level, at_us)
VALUES (?, ?, ?, ?)
ON CONFLICT (scope_id, kind) DO UPDATE SET level = excluded.level, at_us = excluded.at_us;

-- name: add_holds
-- Add holds.
INSERT INTO holds (id, account_id, key_id, amount_nano, tokens, state, created_at_us, owner, call, observed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: change_holds
-- Replace what can change of open holds: a JSON object of arrays of amount, tokens and what was observed.
UPDATE holds SET amount_nano = j.value ->> 0, tokens = j.value ->> 1, observed = j.value ->> 2
FROM json_each(?) AS j
WHERE holds.id = j.key;

-- name: close_holds
-- Move holds to their last state: the state, and a JSON array of their ids.
UPDATE holds SET state = ?, call = NULL, observed = NULL WHERE id IN (SELECT value FROM json_each(?));

-- name: add_entries
-- Add entries.
INSERT INTO entries (
    account_id, seq, kind, amount_nano, balance_after_nano, debt_after_nano, ref, at_us, draws, note
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_commands
-- Note that commands were carried out.
INSERT INTO commands (account_id, command_id, digest, at_us)
VALUES (?, ?, ?, ?);

-- name: add_receipts
-- Add receipts.
INSERT INTO receipts (
    id, account_id, key_id, endpoint, model, upstream, upstream_model, stream, started_at_us, outcome, status, basis,
    usage, ended_at_us, first_byte_at_us, anomalies, charge_nano, lines, price_id, charged_nano, shortfall_nano,
    hold_nano, day
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_usage_days
-- Count receipts in their day.
INSERT INTO usage_days (
    account_id, day, key_id, model, requests, input_tokens, cached_input_tokens, output_tokens, charged_nano
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account_id, day, key_id, model) DO UPDATE SET
    requests = usage_days.requests + excluded.requests,
    input_tokens = usage_days.input_tokens + excluded.input_tokens,
    cached_input_tokens = usage_days.cached_input_tokens + excluded.cached_input_tokens,
    output_tokens = usage_days.output_tokens + excluded.output_tokens,
    charged_nano = usage_days.charged_nano + excluded.charged_nano;

-- name: add_usage_totals
-- Add to what days sum to over all accounts.
INSERT INTO usage_totals (
    "group", day, id, requests, input_tokens, cached_input_tokens, output_tokens, charged_nano
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT ("group", day, id) DO UPDATE SET
    requests = usage_totals.requests + excluded.requests,
    input_tokens = usage_totals.input_tokens + excluded.input_tokens,
    cached_input_tokens = usage_totals.cached_input_tokens + excluded.cached_input_tokens,
    output_tokens = usage_totals.output_tokens + excluded.output_tokens,
    charged_nano = usage_totals.charged_nano + excluded.charged_nano;
