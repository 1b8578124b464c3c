-- What is read of objects: one by its id, with the hold of its job, and lists. Portable.

-- name: object_by_id
-- One object of an account that has not expired. The rest is of its job's hold; it is null where no job runs.
SELECT {objects.shown:o}, h.amount_nano, h.created_at_us AS held_at_us, h.call, h.observed, h.deadline_us
FROM objects AS o
LEFT JOIN holds AS h ON h.id = o.call_id AND h.account_id = o.account_id AND h.deadline_us IS NOT NULL
WHERE o.account_id = :account_id AND o.id = :id AND o.expires_at_us > :now_us;

-- name: sessions_due
-- Sessions that are due by a moment, in the order of their calls, from after one of them on, each with its hold.
SELECT {objects.shown:o}, h.amount_nano, h.created_at_us AS held_at_us, h.call, h.observed, h.deadline_us
FROM holds AS h
JOIN objects AS o ON o.account_id = h.account_id AND o.call_id = h.id AND o.kind = 'session'
WHERE h.deadline_us IS NOT NULL AND h.deadline_us <= :due_us AND h.id > :after
ORDER BY h.id
LIMIT :limit;

-- name: objects_newest_first
-- An account's objects of one kind, of one model or of all, that have not expired, from after one of them on.
SELECT {objects.shown:o}
FROM objects AS o
WHERE o.account_id = :account_id AND o.kind = :kind AND o.expires_at_us > :now_us
    AND (:model = '' OR o.model = :model)
    AND (
        :after = ''
        OR (o.created_at_us, o.id) < (
            SELECT c.created_at_us, c.id FROM objects AS c WHERE c.account_id = :account_id AND c.id = :after
        )
    )
ORDER BY o.created_at_us DESC, o.id DESC
LIMIT :limit;

-- name: objects_oldest_first
-- The same in the other order.
SELECT {objects.shown:o}
FROM objects AS o
WHERE o.account_id = :account_id AND o.kind = :kind AND o.expires_at_us > :now_us
    AND (:model = '' OR o.model = :model)
    AND (
        :after = ''
        OR (o.created_at_us, o.id) > (
            SELECT c.created_at_us, c.id FROM objects AS c WHERE c.account_id = :account_id AND c.id = :after
        )
    )
ORDER BY o.created_at_us, o.id
LIMIT :limit;

-- name: objects_due
-- Objects that have expired by a time, or were made before another, but for those of jobs that run.
SELECT o.account_id, o.id, o.call_id
FROM objects AS o
WHERE (o.expires_at_us <= :expired_us OR o.created_at_us < :made_us)
    AND NOT EXISTS (
        SELECT 1 FROM holds AS h WHERE h.id = o.call_id AND h.account_id = o.account_id AND h.state = 'open'
    )
LIMIT :limit;
