-- Statements beside batches: about processes, keys, months and retention.

-- name: add_owner
-- Take a new name, with a lease of some seconds.
INSERT INTO owners (name, life_file, lease_until, in_touch_since)
VALUES (
    'owner-' || nextval('owner_numbers'), $1, clock_timestamp() + make_interval(secs => $2), clock_timestamp()
)
RETURNING name;

-- name: renew_owner
-- Extend the lease of a name, unless it was found to be gone: then no row comes back. Half of it should be left.
UPDATE owners SET
    lease_until = clock_timestamp() + make_interval(secs => $2),
    in_touch_since = CASE
        WHEN lease_until < clock_timestamp() + make_interval(secs => $2 / 2) THEN clock_timestamp()
        ELSE in_touch_since
    END
WHERE name = $1 AND NOT gone
RETURNING name;

-- name: touch_owner
-- Write the row of a name as it is, to see whether a commit succeeds. A batch that has the row finds that out itself.
UPDATE owners SET gone = gone
WHERE name = (SELECT o.name FROM owners AS o WHERE o.name = $1 FOR UPDATE SKIP LOCKED);

-- name: drop_owner
-- Give a name up.
DELETE FROM owners WHERE name = $1;

-- name: live_owners
-- The names of processes that were not found gone, and the file that each keeps locked on its own machine.
SELECT name, life_file FROM owners WHERE NOT gone;

-- name: end_owners
-- Mark processes as gone: those named, and those whose leases have run out while this one was in touch for at least half
-- the seconds of a lease. None of them can be renewed any more.
UPDATE owners SET gone = TRUE
WHERE NOT gone AND (
    name = ANY ($1::TEXT[])
    OR (
        name <> $2 AND lease_until < clock_timestamp()
        AND EXISTS (
            SELECT FROM owners AS me
            WHERE me.name = $2 AND NOT me.gone AND me.in_touch_since < clock_timestamp() - make_interval(secs => $3 / 2)
        )
    )
);

-- name: orphans
-- Open holds of processes that are gone and not among those named, or whose deadline has passed, oldest first.
SELECT {holds.columns}
FROM holds
WHERE state = 'open' AND CASE
    WHEN deadline_us IS NULL THEN owner <> ALL ($1::TEXT[])
        AND NOT EXISTS (SELECT FROM owners AS o WHERE o.name = holds.owner AND NOT o.gone)
    ELSE deadline_us <= $2
END
ORDER BY id;

-- name: take_lease
-- Take a lease that is free, or extend one's own; no row comes back while another process has it.
INSERT INTO leases (name, owner, lease_until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
WHERE leases.owner = excluded.owner OR leases.lease_until < clock_timestamp()
RETURNING owner;

-- name: drop_lease
-- Give up the leases of a name that is given up.
DELETE FROM leases WHERE owner = $1;

-- name: forget_owners
-- Delete the rows of processes that are long gone.
DELETE FROM owners WHERE gone AND lease_until < clock_timestamp() - INTERVAL '1 day';

-- name: caller_by_digest
-- The key with a digest, and the group of its account.
SELECT {keys.columns:k}, a."group"
FROM key_digests AS d
JOIN keys AS k ON k.account_id = d.account_id AND k.id = d.key_id
JOIN accounts AS a ON a.id = d.account_id
WHERE d.digest = $1;

-- name: this_month
-- The first day of this month in UTC.
SELECT date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::DATE AS month;

-- name: month_partitions
-- The partitions of `receipts` that are of one month.
SELECT c.relname AS name
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'receipts'::REGCLASS AND c.relname ~ '^receipts_[0-9]{4}_[0-9]{2}$'
ORDER BY c.relname;

-- name: make_month
-- Make the partition of one month.
SELECT ledger_make_month($1);

-- name: note_retention
-- Store that receipts from before a day may be gone.
INSERT INTO retention (receipts_since_day) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET
    receipts_since_day = greatest(retention.receipts_since_day, excluded.receipts_since_day);

-- name: delete_holds_of_month
-- Delete the holds of the next receipts of a month after an account and an id; the last receipt, and how many.
WITH chunk AS MATERIALIZED (
    SELECT account_id, id FROM receipts_month
    WHERE (account_id, id) > ($1, $2)
    ORDER BY account_id, id
    LIMIT $3
), deleted AS (
    DELETE FROM holds AS h USING chunk AS c
    WHERE h.id = c.id AND h.account_id = c.account_id AND h.state <> 'open'
)
SELECT account_id, id, (SELECT COUNT(*) FROM chunk) AS receipts
FROM chunk
ORDER BY account_id DESC, id DESC
LIMIT 1;

-- name: delete_other_receipts
-- Delete some receipts from before a day that are in no month's partition, with their holds; how many.
WITH old AS MATERIALIZED (
    SELECT account_id, id, day FROM receipts_other WHERE day < $1 LIMIT $2
), deleted AS (
    DELETE FROM holds AS h USING old AS o
    WHERE h.id = o.id AND h.account_id = o.account_id AND h.state <> 'open'
), receipts AS (
    DELETE FROM receipts_other AS u USING old AS o
    WHERE u.account_id = o.account_id AND u.id = o.id AND u.day = o.day
    RETURNING u.id
)
SELECT COUNT(*) FROM receipts;
