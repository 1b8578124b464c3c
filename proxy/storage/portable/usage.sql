-- What the APIs read about calls. Portable, and paged as in accounts.sql.

-- name: receipts_page
-- The receipts of an account, newest first, optionally of one key or one model, and of calls from `down_to` on. The index
-- has all that decides.
SELECT {receipts.columns}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)
        FROM entries AS f
        WHERE f.account_id = receipts.account_id AND f.ref = receipts.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM receipts
WHERE account_id = :account_id
    AND id < COALESCE(NULLIF(:cursor, ''), '~') AND id >= :down_to
    AND (:key_id = '' OR key_id = :key_id)
    AND (:model = '' OR model = :model)
ORDER BY id DESC
LIMIT :limit;

-- name: receipt_by_id
-- One receipt. Its hold leads to the account, which comes first in the key of receipts.
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM holds AS h
JOIN receipts AS u ON u.account_id = h.account_id AND u.id = h.id
WHERE h.id = :call_id;

-- name: usage_by_day
-- Usage of each day from first_day to last_day, of one account.
SELECT day, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE account_id = :account_id AND day BETWEEN :first_day AND :last_day
GROUP BY day
ORDER BY day;

-- name: usage_by_model
-- Usage of each model from first_day to last_day, dearest first, of one account.
SELECT model, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE account_id = :account_id AND day BETWEEN :first_day AND :last_day
GROUP BY model
ORDER BY SUM(charged_nano) DESC, model;

-- name: usage_by_key
-- Usage of each key from first_day to last_day, dearest first, of one account.
SELECT key_id, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE account_id = :account_id AND day BETWEEN :first_day AND :last_day
GROUP BY key_id
ORDER BY SUM(charged_nano) DESC, key_id;

-- name: costs_by_day
-- What an account was charged on each day from first_day to last_day, by key and by model where that is asked for.
SELECT day, account_id, CASE WHEN :by_key = 1 THEN key_id ELSE '' END AS key_id,
    CASE WHEN :by_model = 1 THEN model ELSE '' END AS model, SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE account_id = :account_id AND day BETWEEN :first_day AND :last_day
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
LIMIT :results;

-- name: costs_of_all_by_day
-- The same of every account. The accounts lead to their days, which not every engine has an index of.
SELECT d.day, d.account_id, CASE WHEN :by_key = 1 THEN d.key_id ELSE '' END AS key_id,
    CASE WHEN :by_model = 1 THEN d.model ELSE '' END AS model, SUM(d.charged_nano) AS charged_nano
FROM accounts AS a
CROSS JOIN usage_days AS d
WHERE a.id > '' AND d.account_id = a.id AND d.day BETWEEN :first_day AND :last_day
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
LIMIT :results;

-- name: call_place
-- The id of the call of an account that so many others come before, from `first_id` on and before `end_id`. None when
-- there are fewer.
SELECT id
FROM receipts
WHERE account_id = :account_id AND id >= :first_id AND id < :end_id
ORDER BY id
LIMIT 1 OFFSET :calls;

-- name: call_place_of_all
-- The same of the calls of all accounts.
SELECT h.id
FROM holds AS h
WHERE h.id >= :first_id AND h.id < :end_id
ORDER BY h.id
LIMIT 1 OFFSET :calls;

-- name: run_components
-- What the calls of a run cost by model and endpoint, the dearest first.
SELECT model, endpoint, COUNT(*) AS calls, SUM(charge_nano) AS charge_nano
FROM receipts
WHERE account_id = :account_id AND run_id = :run_id AND run_id <> '' AND basis <> 'void'
GROUP BY model, endpoint
ORDER BY 4 DESC, 1, 2
LIMIT :limit;

-- name: receipts_of_run
-- The receipts of a run, newest first.
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM receipts AS u
WHERE u.account_id = :account_id AND u.run_id = :run_id AND u.run_id <> ''
    AND u.id < COALESCE(NULLIF(:cursor, ''), '~')
ORDER BY u.id DESC
LIMIT :limit;
