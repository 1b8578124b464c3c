-- Reads with a text of their own for SQLite: usage of all accounts, from the sums that it stores.

-- name: usage_of_all_by_day
-- Usage of each day from first_day to last_day, of all accounts: what its models sum to.
SELECT day, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_totals
WHERE "group" = 'model' AND day BETWEEN :first_day AND :last_day
GROUP BY day
ORDER BY day;

-- name: usage_of_all_by_model
-- Usage of each model from first_day to last_day, of all accounts, dearest first.
SELECT id AS model, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_totals
WHERE "group" = 'model' AND day BETWEEN :first_day AND :last_day
GROUP BY id
ORDER BY SUM(charged_nano) DESC, id;

-- name: usage_of_all_by_key
-- Usage of each key from first_day to last_day, of all accounts, dearest first.
SELECT id AS key_id, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_totals
WHERE "group" = 'key' AND day BETWEEN :first_day AND :last_day
GROUP BY id
ORDER BY SUM(charged_nano) DESC, id;

-- name: usage_of_all_by_account
-- Usage of each account from first_day to last_day, of all accounts, dearest first.
SELECT id AS account_id, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_totals
WHERE "group" = 'account' AND day BETWEEN :first_day AND :last_day
GROUP BY id
ORDER BY SUM(charged_nano) DESC, id;

-- name: running_jobs
-- Jobs that have not ended, the oldest first, from after one of them on, optionally of one account: their holds, each
-- with its object. The index has nothing but these.
SELECT h.id AS call_id, h.account_id, h.amount_nano, h.created_at_us AS held_at_us, h.call, h.observed, h.deadline_us,
    o.id, o.kind, o.upstream, h.key_id, o.model, o.created_at_us, o.seen, o.expires_at_us
FROM holds AS h INDEXED BY holds_running
LEFT JOIN objects AS o ON o.account_id = h.account_id AND o.call_id = h.id
WHERE h.deadline_us IS NOT NULL AND h.id > :after AND (:account_id = '' OR h.account_id = :account_id)
ORDER BY h.id
LIMIT :limit;
