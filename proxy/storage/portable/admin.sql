-- What the APIs read across accounts, and what a page needs besides. Portable.

-- name: receipt_place
-- The id of the call that so many others come before, counted back from the cursor. None when there are fewer.
SELECT h.id
FROM holds AS h
WHERE h.id < COALESCE(NULLIF(:cursor, ''), '~')
ORDER BY h.id DESC
LIMIT 1 OFFSET :calls;

-- name: receipts_of_all
-- The receipts of every account, newest first, optionally of one key or one model. With a key, those of its account are
-- searched. Without one, calls older than `down_to` are left out, as no index leads to a model across accounts. IN makes
-- SQLite search a receipt by the id of its hold; after an equals sign it would take the cursor for the bound.
SELECT h.id, {receipts.without_id:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM holds AS h
CROSS JOIN receipts AS u
WHERE :key_id = '' AND h.id < COALESCE(NULLIF(:cursor, ''), '~') AND h.id >= :down_to
    AND u.account_id = h.account_id AND u.id IN (h.id)
    AND (:model = '' OR u.model = :model)
UNION ALL
SELECT {receipts.columns:u}, (
        SELECT COALESCE(SUM(f.amount_nano), 0)
        FROM entries AS f
        WHERE f.account_id = u.account_id AND f.ref = u.id AND f.kind = 'refund'
    ) AS refunded_nano
FROM receipts AS u
WHERE u.account_id = (SELECT d.account_id FROM key_digests AS d WHERE d.key_id = :key_id) AND u.key_id = :key_id
    AND u.id < COALESCE(NULLIF(:cursor, ''), '~')
    AND (:model = '' OR u.model = :model)
ORDER BY id DESC
LIMIT :limit;

-- name: vouchers_page
-- Vouchers without their digests, newest first.
SELECT {vouchers.shown}
FROM vouchers
WHERE id < COALESCE(NULLIF(:cursor, ''), '~')
ORDER BY id DESC
LIMIT :limit;

-- name: top_up_by_id
-- One top-up of an account.
SELECT {top_ups.shown}
FROM top_ups
WHERE account_id = :account_id AND id = :top_up_id;

-- name: top_up_by_reference
-- The top-up that a provider has a name for.
SELECT {top_ups.shown:t}
FROM top_up_references AS r
JOIN top_ups AS t ON t.account_id = r.account_id AND t.id = r.top_up_id
WHERE r.provider = :provider AND r.reference = :reference;

-- name: auto_top_up
-- How an account is topped up by itself.
SELECT {auto_top_ups.shown}
FROM auto_top_ups
WHERE account_id = :account_id;

-- name: auto_top_ups_due
-- Active accounts whose funds, with top-ups that may still be paid, are at their threshold or below, from after one of them on.
SELECT {auto_top_ups.shown:t}, f.funds_nano, f."group"
FROM (
    SELECT o.account_id, a."group", a.balance_nano - a.debt_nano - a.owed_nano + COALESCE((
            SELECT CAST(SUM(p.credit_nano + p.bonus_nano) AS BIGINT)
            FROM top_ups AS p
            WHERE p.account_id = o.account_id AND p.state = 'pending' AND p.expires_at_us > :now_us
        ), 0) AS funds_nano
    FROM auto_top_ups AS o
    JOIN accounts AS a ON a.id = o.account_id
    WHERE o.state = 'on' AND a.status = 'active' AND o.account_id > :after
) AS f
JOIN auto_top_ups AS t ON t.account_id = f.account_id
WHERE f.funds_nano <= t.threshold_nano
ORDER BY t.account_id
LIMIT :limit;

-- name: automatic_top_ups
-- The newest top-ups of an account that low funds have asked for.
SELECT {top_ups.shown}
FROM top_ups
WHERE account_id = :account_id AND origin = 'automatic'
ORDER BY created_at_us DESC, id DESC
LIMIT :limit;

-- name: automatic_sums
-- What the automatic top-ups of an account have bought, or will once they are paid, since two times.
SELECT
    CAST(COALESCE(SUM(CASE WHEN created_at_us >= :day_us THEN credit_nano ELSE 0 END), 0) AS BIGINT) AS day_nano,
    CAST(COALESCE(SUM(credit_nano), 0) AS BIGINT) AS month_nano
FROM top_ups
WHERE account_id = :account_id AND origin = 'automatic'
    AND (state = 'succeeded' OR (state = 'pending' AND expires_at_us > :now_us))
    AND created_at_us >= :month_us;

-- name: automatic_unsent
-- Pending top-ups of active accounts that low funds have asked for, and that their provider has not been asked to charge.
SELECT {top_ups.shown:t}
FROM top_ups AS t
JOIN accounts AS a ON a.id = t.account_id
WHERE t.state = 'pending' AND t.origin = 'automatic' AND t.provider = :provider AND t.reference = ''
    AND t.account_id > :after AND a.status = 'active'
ORDER BY t.account_id
LIMIT :limit;

-- name: top_ups_of_account
-- The top-ups of an account, newest first, optionally in one state, from before one of them on.
SELECT {top_ups.shown}
FROM top_ups
WHERE account_id = :account_id AND (created_at_us, id) < (:before_us, :before_id)
    AND (:state = '' OR state = :state)
ORDER BY created_at_us DESC, id DESC
LIMIT :limit;

-- name: top_ups_page
-- The top-ups of all accounts, newest first, optionally in one state, from before one of them on.
SELECT {top_ups.shown}
FROM top_ups
WHERE (created_at_us, id) < (:before_us, :before_id)
    AND (:state = '' OR state = :state)
ORDER BY created_at_us DESC, id DESC
LIMIT :limit;

-- name: charge_of_call
-- The entry of what a call was charged, searched from the newest on: no index has it, as every call would pay for that.
SELECT seq, draws
FROM entries
WHERE account_id = :account_id AND kind = 'charge' AND ref = :call_id
ORDER BY seq DESC
LIMIT 1;

-- name: lots_page
-- The lots of an account with something left, that expire before a time, in the order they are drawn from; `cursor` is the last lot's id.
SELECT {lots.columns}
FROM lots
WHERE account_id = :account_id AND remaining_nano > 0 AND expires_at_us < :expires_before_us
    AND (
        :cursor = ''
        OR (priority, expires_at_us, granted_at_us, id)
            > (
                SELECT c.priority, c.expires_at_us, c.granted_at_us, c.id
                FROM lots AS c
                WHERE c.account_id = :account_id AND c.id = :cursor
            )
    )
ORDER BY priority, expires_at_us, granted_at_us, id
LIMIT :limit;

-- name: usage_by_account
-- Usage of one account from first_day to last_day, in one row if there is any.
SELECT account_id, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,
    SUM(cached_input_tokens) AS cached_input_tokens, SUM(output_tokens) AS output_tokens,
    SUM(charged_nano) AS charged_nano
FROM usage_days
WHERE account_id = :account_id AND day BETWEEN :first_day AND :last_day
GROUP BY account_id;
