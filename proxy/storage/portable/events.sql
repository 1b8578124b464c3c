-- What is read of events. Portable.

-- name: events_of_account
-- An account's events, newest first, of one type or of all, from after one of them on.
SELECT {events.shown:e}
FROM events AS e
WHERE e.account_id = :account_id AND (:type = '' OR e.type = :type)
    AND (
        :after = ''
        OR (e.at_us, e.place, e.id) < (
            SELECT c.at_us, c.place, c.id FROM events AS c WHERE c.account_id = :account_id AND c.id = :after
        )
    )
ORDER BY e.at_us DESC, e.place DESC, e.id DESC
LIMIT :limit;

-- name: events_of_all
-- The events of all accounts in the same order, from after one of them on, which came at a time.
SELECT {events.shown:e}
FROM events AS e
WHERE (:type = '' OR e.type = :type) AND e.at_us <= :at_us
    AND (
        :after = ''
        OR (e.at_us, e.place, e.id) < (
            SELECT c.at_us, c.place, c.id FROM events AS c WHERE c.account_id = :account_id AND c.id = :after
        )
    )
ORDER BY e.at_us DESC, e.place DESC, e.id DESC
LIMIT :limit;
