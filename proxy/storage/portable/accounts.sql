-- What the APIs read about accounts and their money. Portable: named parameters, no engine's own functions.
-- Pages are newest first; `cursor` is the last id of the page before, '' for the first page. Ids sort by time and
-- are of lower-case letters, digits and underscores, all of which come before '~'.

-- name: accounts_page
-- Accounts, newest first.
SELECT {accounts.columns}, balance_nano - held_nano - debt_nano - owed_nano + credit_limit_nano AS available_nano
FROM accounts
WHERE id < COALESCE(NULLIF(:cursor, ''), '~')
ORDER BY id DESC
LIMIT :limit;

-- name: accounts_of_group
-- Accounts of a group, newest first. The index has only those that are in one.
SELECT {accounts.columns}, balance_nano - held_nano - debt_nano - owed_nano + credit_limit_nano AS available_nano
FROM accounts
WHERE "group" = :group AND "group" <> '' AND id < COALESCE(NULLIF(:cursor, ''), '~')
ORDER BY id DESC
LIMIT :limit;

-- name: account_by_id
-- One account.
SELECT {accounts.columns}, balance_nano - held_nano - debt_nano - owed_nano + credit_limit_nano AS available_nano
FROM accounts
WHERE id = :account_id;

-- name: membership_by_account
-- What an account was given by its group, and has paid.
SELECT {memberships.shown}
FROM memberships
WHERE account_id = :account_id;

-- name: memberships_due
-- Accounts that somebody has to look at, those first that are due the longest, each with its group. Some at the front are
-- skipped, for which nothing could be done.
SELECT account_id, "group"
FROM memberships
WHERE due_us <= :now_us
ORDER BY due_us, account_id
LIMIT :limit OFFSET :skipped;

-- name: account_sums
-- What each account says beside what its rows sum to, for an audit; every account when account_id is ''.
SELECT a.id, a.balance_nano, a.debt_nano + a.owed_nano AS debt_nano, a.held_nano, a.open_holds, a.entries,
    (SELECT COUNT(*) FROM entries AS e WHERE e.account_id = a.id) AS entry_count,
    (SELECT COALESCE(SUM(e.amount_nano), 0) FROM entries AS e WHERE e.account_id = a.id) AS entries_nano,
    (SELECT COALESCE(-SUM(e.amount_nano), 0) FROM entries AS e WHERE e.account_id = a.id AND e.kind = 'charge')
        AS charges_nano,
    (SELECT COALESCE(SUM(d.charged_nano), 0) FROM usage_days AS d WHERE d.account_id = a.id) AS usage_nano,
    (SELECT COALESCE(SUM(l.remaining_nano), 0) FROM lots AS l WHERE l.account_id = a.id AND l.remaining_nano > 0)
        AS lots_nano,
    (SELECT COUNT(*) FROM holds AS h WHERE h.account_id = a.id AND h.state = 'open') AS hold_count,
    (SELECT COALESCE(SUM(h.amount_nano), 0) FROM holds AS h WHERE h.account_id = a.id AND h.state = 'open')
        AS holds_nano
FROM accounts AS a
WHERE a.id BETWEEN :account_id AND COALESCE(NULLIF(:account_id, ''), '~')
ORDER BY a.id;

-- name: keys_of_account
-- The keys of an account without their digests, newest first.
SELECT {keys.shown}
FROM keys
WHERE account_id = :account_id AND id < COALESCE(NULLIF(:cursor, ''), '~')
ORDER BY id DESC
LIMIT :limit;

-- name: key_by_id
-- One key without its digest.
SELECT {keys.shown:k}
FROM key_digests AS d
JOIN keys AS k ON k.account_id = d.account_id AND k.id = d.key_id
WHERE d.key_id = :key_id;

-- name: lots_of_account
-- The lots of an account with something left, in the order they are drawn from.
SELECT {lots.columns}
FROM lots
WHERE account_id = :account_id AND remaining_nano > 0
ORDER BY priority, expires_at_us, granted_at_us, id;

-- name: end_users_page
-- The end users of an account that limits count, by id, optionally one of them. That of an empty id counts new ones.
SELECT {end_users.shown}
FROM end_users
WHERE account_id = :account_id AND id > :after AND (:end_user = '' OR id = :end_user)
ORDER BY id
LIMIT :limit;

-- name: end_users_due
-- End users of whom nothing is left to count, the longest idle first.
SELECT account_id, id
FROM end_users
WHERE open_holds = 0 AND limits = '{}' AND kept_until_us <= :now_us
ORDER BY kept_until_us
LIMIT :limit;

-- name: counters_of_account
-- What an account has used in a day, a week and a month, given their first days, and in total; but for its runs.
SELECT {counters.columns}
FROM counters
WHERE account_id = :account_id AND (
    ("window" = 'day' AND start_day = :day)
    OR ("window" = 'week' AND start_day = :week)
    OR ("window" = 'month' AND start_day = :month)
    OR ("window" = 'total' AND start_day = 0 AND name < '/')
    OR ("window" = 'total' AND start_day = 0 AND name >= '0')
)
ORDER BY name, "window";

-- name: runs_page
-- What the runs of an account cost by now, in the order of their ids, which follow a slash in the names of counters.
SELECT {counters.columns}
FROM counters
WHERE account_id = :account_id AND "window" = 'total' AND start_day = 0 AND name > '/' || :after AND name < '0'
ORDER BY name
LIMIT :limit;

-- name: run_by_id
-- What one run of an account costs by now.
SELECT {counters.columns}
FROM counters
WHERE account_id = :account_id AND "window" = 'total' AND start_day = 0 AND name = '/' || :run_id;

-- name: entries_page
-- The entries of an account, newest first; `cursor` is the last seq of the page before, 0 for the first page.
SELECT {entries.columns}
FROM entries
WHERE account_id = :account_id AND seq < COALESCE(NULLIF(:cursor, 0), 9223372036854775807)
ORDER BY seq DESC
LIMIT :limit;

-- name: ended_buckets
-- What an account or key has spent and holds in a day, a week and a month that have ended, given their first days.
SELECT {buckets.columns}
FROM buckets
WHERE account_id = :account_id AND scope_id = :scope_id AND (
    ("window" = 'day' AND start_day = :day)
    OR ("window" = 'week' AND start_day = :week)
    OR ("window" = 'month' AND start_day = :month)
);

-- name: holds_page
-- Holds, newest first, optionally of one account or in one state. Only open ones carry `call` and `observed`.
SELECT {holds.columns}
FROM holds
WHERE state = 'open' AND :state IN ('', 'open')
    AND account_id BETWEEN :account_id AND COALESCE(NULLIF(:account_id, ''), '~')
    AND id < COALESCE(NULLIF(:cursor, ''), '~')
UNION ALL
SELECT {holds.columns}
FROM holds
WHERE :account_id = '' AND :state <> 'open' AND state <> 'open' AND state = COALESCE(NULLIF(:state, ''), state)
    AND id < COALESCE(NULLIF(:cursor, ''), '~')
UNION ALL
SELECT u.id, {holds.without_id:h}
FROM receipts AS u
JOIN holds AS h ON h.id = u.id AND h.account_id = u.account_id
WHERE :account_id <> '' AND :state <> 'open' AND h.state <> 'open'
    AND h.state = COALESCE(NULLIF(:state, ''), h.state)
    AND u.account_id = :account_id AND u.id < COALESCE(NULLIF(:cursor, ''), '~')
ORDER BY id DESC
LIMIT :limit;

-- name: purchase_of_account
-- A lot that was bought for an account, whatever is left of it. None where none ever was.
SELECT id
FROM lots
WHERE account_id = :account_id AND kind = 'purchase'
LIMIT 1;

-- name: buckets_due
-- Buckets of windows that began on a day or before it, the oldest first, from after a day and an account on.
SELECT account_id, scope_id, "window", start_day
FROM buckets
WHERE start_day <= :day AND (start_day, account_id) > (:after_day, :after)
ORDER BY start_day, account_id
LIMIT :limit;

-- name: counters_due
-- Counters of such windows, but for those that count for ever.
SELECT account_id, name, "window", start_day
FROM counters
WHERE "window" <> 'total' AND start_day <= :day AND (start_day, account_id) > (:after_day, :after)
ORDER BY start_day, account_id
LIMIT :limit;
