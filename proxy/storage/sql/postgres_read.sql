-- The reads that PostgreSQL is asked for in words of its own. A receipt's day is that of its hold, which tells the one
-- partition to look in.

-- name: call_by_id
-- One receipt. The hold tells the account and the day, by which receipts are kept.
SELECT u.id, u.account_id, u.key_id, u.endpoint, u.model, u.upstream, u.upstream_model, u.stream, u.started_at_us,
    u.outcome, u.status, u.basis, u.usage, u.ended_at_us, u.first_byte_at_us, u.anomalies, u.charge_nano, u.lines,
    u.price_id, u.charged_nano, u.shortfall_nano, u.hold_nano, u.day
FROM holds AS h
JOIN usage AS u ON u.account_id = h.account_id AND u.id = h.id AND u.day = h.created_at_us / 86400000000
WHERE h.id = :call_id;

-- name: calls_of_all
-- The receipts of every account, newest first, optionally of one key or one model.
SELECT u.id, u.account_id, u.key_id, u.endpoint, u.model, u.upstream, u.upstream_model, u.stream, u.started_at_us,
    u.outcome, u.status, u.basis, u.usage, u.ended_at_us, u.first_byte_at_us, u.anomalies, u.charge_nano, u.lines,
    u.price_id, u.charged_nano, u.shortfall_nano, u.hold_nano, u.day
FROM holds AS h
JOIN usage AS u ON u.account_id = h.account_id AND u.id = h.id AND u.day = h.created_at_us / 86400000000
WHERE h.id < COALESCE(NULLIF(:cursor, ''), '~')
    AND h.key_id = COALESCE(NULLIF(:key_id, ''), h.key_id)
    AND u.model = COALESCE(NULLIF(:model, ''), u.model)
ORDER BY h.id DESC
LIMIT :limit;

-- name: entries_page
-- The entries of an account, newest first; `cursor` is the last seq of the page before, 0 for the first page.
SELECT account_id, seq, kind, amount_nano, balance_after_nano, debt_after_nano, ref, at_us, draws, note
FROM entries
WHERE account_id = :account_id AND seq < COALESCE(NULLIF(:cursor::BIGINT, 0), 9223372036854775807)
ORDER BY seq DESC
LIMIT :limit;
