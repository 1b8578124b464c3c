-- Reads with a text of their own for PostgreSQL. A receipt's day is that of its hold, which leads to the one partition
-- that has it.

-- name: receipt_by_id
-- One receipt. Its hold leads to the account and the day, which are in the key of receipts.
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)::BIGINT
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM holds AS h
JOIN receipts AS u ON u.account_id = h.account_id AND u.id = h.id AND u.day = h.created_at_us / 86400000000
WHERE h.id = :call_id;

-- name: receipts_page
-- The receipts of an account, newest first, optionally of one key or one model, and of calls from `down_to` on. The index
-- alone chooses them, and only those of the page are read.
WITH page AS MATERIALIZED (
    SELECT id, day
    FROM receipts
    WHERE account_id = :account_id
        AND id < COALESCE(NULLIF(:cursor, ''), '~') AND id >= :down_to
        AND (:key_id = '' OR key_id = :key_id)
        AND (:model = '' OR model = :model)
    ORDER BY id DESC
    LIMIT :limit
)
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)::BIGINT
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM page AS p
JOIN receipts AS u ON u.account_id = :account_id AND u.id = p.id AND u.day = p.day
ORDER BY u.id DESC;

-- name: receipts_of_all
-- The receipts of every account, newest first, optionally of one key or one model. A key's are its account's. OFFSET
-- keeps what is before it from being joined in any other order than that of the holds.
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)::BIGINT
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM (
    (
        SELECT h.id, h.account_id, r.day
        FROM holds AS h
        CROSS JOIN LATERAL (
            SELECT s.day
            FROM receipts AS s
            WHERE s.account_id = h.account_id AND s.id = h.id AND s.day = h.created_at_us / 86400000000
                AND (:model = '' OR s.model = :model)
            OFFSET 0
        ) AS r
        WHERE :key_id = '' AND h.id < COALESCE(NULLIF(:cursor, ''), '~') AND h.id >= :down_to
        ORDER BY h.id DESC
        LIMIT :limit
    )
    UNION ALL
    (
        SELECT s.id, s.account_id, s.day
        FROM receipts AS s
        WHERE s.account_id = (SELECT d.account_id FROM key_digests AS d WHERE d.key_id = :key_id) AND s.key_id = :key_id
            AND s.id < COALESCE(NULLIF(:cursor, ''), '~')
            AND (:model = '' OR s.model = :model)
        ORDER BY s.id DESC
        LIMIT :limit
    )
) AS p
JOIN receipts AS u ON u.account_id = p.account_id AND u.id = p.id AND u.day = p.day
ORDER BY u.id DESC;

-- name: holds_page
-- Holds, newest first, optionally of one account or in one state. Only open ones carry `call` and `observed`. Each of
-- the three ways ends with a page, and OFFSET keeps an account's holds in the order of its receipts.
(
    SELECT {holds.columns}
    FROM holds
    WHERE state = 'open' AND :state IN ('', 'open')
        AND account_id BETWEEN :account_id AND COALESCE(NULLIF(:account_id, ''), '~')
        AND id < COALESCE(NULLIF(:cursor, ''), '~')
    ORDER BY id DESC
    LIMIT :limit
)
UNION ALL
(
    SELECT {holds.columns}
    FROM holds
    WHERE :account_id = '' AND :state <> 'open' AND state <> 'open' AND (:state = '' OR state = :state)
        AND id < COALESCE(NULLIF(:cursor, ''), '~')
    ORDER BY id DESC
    LIMIT :limit
)
UNION ALL
(
    SELECT {holds.columns:h}
    FROM receipts AS u
    CROSS JOIN LATERAL (
        SELECT o.*
        FROM holds AS o
        WHERE o.id = u.id AND o.account_id = u.account_id AND o.state <> 'open' AND (:state = '' OR o.state = :state)
        OFFSET 0
    ) AS h
    WHERE :account_id <> '' AND :state <> 'open'
        AND u.account_id = :account_id AND u.id < COALESCE(NULLIF(:cursor, ''), '~')
    ORDER BY u.id DESC
    LIMIT :limit
)
ORDER BY id DESC
LIMIT :limit;

-- name: entries_page
-- The entries of an account, newest first; `cursor` is the last seq of the page before, 0 for the first page.
SELECT {entries.columns}
FROM entries
WHERE account_id = :account_id AND seq < COALESCE(NULLIF(:cursor::BIGINT, 0), 9223372036854775807)
ORDER BY seq DESC
LIMIT :limit;

-- name: usage_of_all_by_day
-- Usage of each day from first_day to last_day, of all accounts.
SELECT day, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE day BETWEEN :first_day AND :last_day
GROUP BY day
ORDER BY day;

-- name: usage_of_all_by_model
-- Usage of each model from first_day to last_day, of all accounts, dearest first.
SELECT model, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE day BETWEEN :first_day AND :last_day
GROUP BY model
ORDER BY SUM(charged_nano) DESC, model;

-- name: usage_of_all_by_key
-- Usage of each key from first_day to last_day, of all accounts, dearest first.
SELECT key_id, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE day BETWEEN :first_day AND :last_day
GROUP BY key_id
ORDER BY SUM(charged_nano) DESC, key_id;

-- name: usage_of_all_by_account
-- Usage of each account from first_day to last_day, of all accounts, dearest first.
SELECT account_id, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE day BETWEEN :first_day AND :last_day
GROUP BY account_id
ORDER BY SUM(charged_nano) DESC, account_id;

-- name: running_jobs
-- Jobs that have not ended, the oldest first, from after one of them on, optionally of one account: their holds, each
-- with its object.
SELECT h.id AS call_id, h.account_id, h.amount_nano, h.created_at_us AS held_at_us, h.call, h.observed, h.deadline_us,
    o.id, o.kind, o.upstream, h.key_id, o.model, o.created_at_us, o.seen, o.expires_at_us
FROM holds AS h
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
        WHEN :metadata_key <> '' THEN COALESCE(NULLIF(u.metadata, '')::JSONB ->> :metadata_key, '')
        WHEN :by_end_user = 1 THEN u.end_user
        ELSE ''
    END AS label,
    SUM(u.charged_nano) AS charged_nano,
    SUM(CASE WHEN u.basis = 'void' THEN 0 ELSE 1 END) AS requests,
    COALESCE(SUM(m.input_tokens), 0) AS input_tokens,
    COALESCE(SUM(m.cached_input_tokens), 0) AS cached_input_tokens,
    COALESCE(SUM(m.cache_write_tokens), 0) AS cache_write_tokens,
    COALESCE(SUM(m.input_audio_tokens), 0) AS input_audio_tokens,
    COALESCE(SUM(m.output_tokens), 0) AS output_tokens,
    COALESCE(SUM(m.output_audio_tokens), 0) AS output_audio_tokens,
    COALESCE(SUM(m.images), 0) AS images,
    COALESCE(SUM(m.characters), 0) AS characters,
    COALESCE(SUM(m.audio_seconds), 0) AS audio_seconds,
    COALESCE(SUM(m.web_searches), 0) AS web_searches,
    COALESCE(SUM(m.file_searches), 0) AS file_searches,
    COALESCE(SUM(m.containers), 0) AS containers
FROM receipts AS u
CROSS JOIN LATERAL jsonb_to_record(u.usage::JSONB) AS m(
    input_tokens BIGINT, cached_input_tokens BIGINT, cache_write_tokens BIGINT, input_audio_tokens BIGINT,
    output_tokens BIGINT, output_audio_tokens BIGINT, images BIGINT, characters BIGINT,
    audio_seconds BIGINT, web_searches BIGINT, file_searches BIGINT, containers BIGINT
)
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
        WHEN :metadata_key <> '' THEN COALESCE(NULLIF(u.metadata, '')::JSONB ->> :metadata_key, '')
        WHEN :by_end_user = 1 THEN u.end_user
        ELSE ''
    END AS label,
    SUM(u.charged_nano) AS charged_nano,
    SUM(CASE WHEN u.basis = 'void' THEN 0 ELSE 1 END) AS requests,
    COALESCE(SUM(m.input_tokens), 0) AS input_tokens,
    COALESCE(SUM(m.cached_input_tokens), 0) AS cached_input_tokens,
    COALESCE(SUM(m.cache_write_tokens), 0) AS cache_write_tokens,
    COALESCE(SUM(m.input_audio_tokens), 0) AS input_audio_tokens,
    COALESCE(SUM(m.output_tokens), 0) AS output_tokens,
    COALESCE(SUM(m.output_audio_tokens), 0) AS output_audio_tokens,
    COALESCE(SUM(m.images), 0) AS images,
    COALESCE(SUM(m.characters), 0) AS characters,
    COALESCE(SUM(m.audio_seconds), 0) AS audio_seconds,
    COALESCE(SUM(m.web_searches), 0) AS web_searches,
    COALESCE(SUM(m.file_searches), 0) AS file_searches,
    COALESCE(SUM(m.containers), 0) AS containers
FROM holds AS h
JOIN receipts AS u ON u.account_id = h.account_id AND u.id = h.id
CROSS JOIN LATERAL jsonb_to_record(u.usage::JSONB) AS m(
    input_tokens BIGINT, cached_input_tokens BIGINT, cache_write_tokens BIGINT, input_audio_tokens BIGINT,
    output_tokens BIGINT, output_audio_tokens BIGINT, images BIGINT, characters BIGINT,
    audio_seconds BIGINT, web_searches BIGINT, file_searches BIGINT, containers BIGINT
)
WHERE h.id >= :first_id AND h.id < :end_id
    AND u.started_at_us >= :start_us AND u.started_at_us < :end_us
    AND (:end_user = '' OR u.end_user = :end_user)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 4, 5, 6
LIMIT :results;

-- name: receipts_of_end_user
-- The receipts of what was done for one end user of an account, newest first, optionally of one key or one model, and of
-- calls from `down_to` on.
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)::BIGINT
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
