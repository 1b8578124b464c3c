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

-- name: usage_of_calls
-- What the calls of an account used from one id to another, by their time in widths of so many seconds, endpoint, and
-- by key, model, end user or what a member of their metadata says where that is asked for; of one end user or of all.
SELECT u.started_at_us / 1000000 / :width_seconds AS bucket, u.account_id, u.endpoint,
    CASE WHEN :by_key = 1 THEN u.key_id ELSE '' END AS key_id,
    CASE WHEN :by_model = 1 THEN u.model ELSE '' END AS model,
    CASE
        WHEN :metadata_key <> '' THEN COALESCE(NULLIF(u.metadata, '') ->> ('$."' || :metadata_key || '"'), '')
        WHEN :by_end_user = 1 THEN u.end_user
        ELSE ''
    END AS label,
    SUM(u.charged_nano) AS charged_nano,
    SUM(CASE WHEN u.basis = 'void' THEN 0 ELSE 1 END) AS requests,
    COALESCE(SUM(u.usage ->> 'input_tokens'), 0) AS input_tokens,
    COALESCE(SUM(u.usage ->> 'cached_input_tokens'), 0) AS cached_input_tokens,
    COALESCE(SUM(u.usage ->> 'cache_write_tokens'), 0) AS cache_write_tokens,
    COALESCE(SUM(u.usage ->> 'input_audio_tokens'), 0) AS input_audio_tokens,
    COALESCE(SUM(u.usage ->> 'output_tokens'), 0) AS output_tokens,
    COALESCE(SUM(u.usage ->> 'output_audio_tokens'), 0) AS output_audio_tokens,
    COALESCE(SUM(u.usage ->> 'images'), 0) AS images,
    COALESCE(SUM(u.usage ->> 'characters'), 0) AS characters,
    COALESCE(SUM(u.usage ->> 'audio_seconds'), 0) AS audio_seconds,
    COALESCE(SUM(u.usage ->> 'web_searches'), 0) AS web_searches,
    COALESCE(SUM(u.usage ->> 'file_searches'), 0) AS file_searches,
    COALESCE(SUM(u.usage ->> 'containers'), 0) AS containers
FROM receipts AS u
WHERE u.account_id = :account_id AND u.id >= :first_id AND u.id < :end_id
    AND u.started_at_us >= :start_us AND u.started_at_us < :end_us
    AND (:end_user = '' OR u.end_user = :end_user)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 4, 5, 6
LIMIT :results;

-- name: usage_of_all_calls
-- The same of the calls of all accounts, which holds lead to by their ids alone.
SELECT u.started_at_us / 1000000 / :width_seconds AS bucket, u.account_id, u.endpoint,
    CASE WHEN :by_key = 1 THEN u.key_id ELSE '' END AS key_id,
    CASE WHEN :by_model = 1 THEN u.model ELSE '' END AS model,
    CASE
        WHEN :metadata_key <> '' THEN COALESCE(NULLIF(u.metadata, '') ->> ('$."' || :metadata_key || '"'), '')
        WHEN :by_end_user = 1 THEN u.end_user
        ELSE ''
    END AS label,
    SUM(u.charged_nano) AS charged_nano,
    SUM(CASE WHEN u.basis = 'void' THEN 0 ELSE 1 END) AS requests,
    COALESCE(SUM(u.usage ->> 'input_tokens'), 0) AS input_tokens,
    COALESCE(SUM(u.usage ->> 'cached_input_tokens'), 0) AS cached_input_tokens,
    COALESCE(SUM(u.usage ->> 'cache_write_tokens'), 0) AS cache_write_tokens,
    COALESCE(SUM(u.usage ->> 'input_audio_tokens'), 0) AS input_audio_tokens,
    COALESCE(SUM(u.usage ->> 'output_tokens'), 0) AS output_tokens,
    COALESCE(SUM(u.usage ->> 'output_audio_tokens'), 0) AS output_audio_tokens,
    COALESCE(SUM(u.usage ->> 'images'), 0) AS images,
    COALESCE(SUM(u.usage ->> 'characters'), 0) AS characters,
    COALESCE(SUM(u.usage ->> 'audio_seconds'), 0) AS audio_seconds,
    COALESCE(SUM(u.usage ->> 'web_searches'), 0) AS web_searches,
    COALESCE(SUM(u.usage ->> 'file_searches'), 0) AS file_searches,
    COALESCE(SUM(u.usage ->> 'containers'), 0) AS containers
FROM holds AS h
CROSS JOIN receipts AS u
WHERE h.id >= :first_id AND h.id < :end_id AND u.account_id = h.account_id AND u.id IN (h.id)
    AND u.started_at_us >= :start_us AND u.started_at_us < :end_us
    AND (:end_user = '' OR u.end_user = :end_user)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 4, 5, 6
LIMIT :results;

-- name: receipts_of_end_user
-- The receipts of what was done for one end user of an account, newest first, optionally of one key or one model, and of
-- calls from `down_to` on.
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM receipts AS u
WHERE u.account_id = :account_id AND u.end_user = :end_user AND u.end_user <> ''
    AND u.id < COALESCE(NULLIF(:cursor, ''), '~') AND u.id >= :down_to
    AND (:key_id = '' OR u.key_id = :key_id)
    AND (:model = '' OR u.model = :model)
ORDER BY u.id DESC
LIMIT :limit;
