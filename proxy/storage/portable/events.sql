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

-- name: events_new
-- Events that are not routed yet, oldest first. The index has no others.
SELECT e.account_id, e.id, e.type
FROM events AS e
WHERE e.state = 'new' AND e.at_us >= 0
ORDER BY e.at_us, e.place, e.id
LIMIT :limit;

-- name: events_old
-- Events from before a time, oldest first.
SELECT e.account_id, e.id
FROM events AS e
WHERE e.at_us < :before_us
ORDER BY e.at_us, e.place, e.id
LIMIT :limit;

-- name: events_since
-- Events from a time on, oldest first, from after one of them on, which came then.
SELECT {events.shown:e}
FROM events AS e
WHERE e.at_us >= :at_us
    AND (
        :after = ''
        OR (e.at_us, e.place, e.id) > (
            SELECT c.at_us, c.place, c.id FROM events AS c WHERE c.account_id = :account_id AND c.id = :after
        )
    )
ORDER BY e.at_us, e.place, e.id
LIMIT :limit;

-- name: event_by_id
-- One event of an account.
SELECT {events.shown:e}
FROM events AS e
WHERE e.account_id = :account_id AND e.id = :id;

-- name: deliveries_due
-- What an endpoint is due to be told of, that first which is due the longest.
SELECT d.account_id, d.event_id, d.attempts, e.type, e.at_us, e.data
FROM deliveries AS d
JOIN events AS e ON e.account_id = d.account_id AND e.id = d.event_id
WHERE d.endpoint = :endpoint AND d.state = 'pending' AND d.next_at_us <= :now_us
ORDER BY d.next_at_us, d.account_id, d.event_id
LIMIT :limit;

-- name: deliveries_waiting
-- How many deliveries to an endpoint are pending, counted up to a number, and when the oldest of their events was.
SELECT COUNT(*) AS waiting, MIN(e.at_us) AS oldest_us
FROM (
    SELECT d.account_id, d.event_id
    FROM deliveries AS d
    WHERE d.endpoint = :endpoint AND d.state = 'pending'
    ORDER BY d.next_at_us, d.account_id, d.event_id
    LIMIT :limit
) AS p
JOIN events AS e ON e.account_id = p.account_id AND e.id = p.event_id;

-- name: deliveries_of_event
-- What has become of telling of an event.
SELECT {deliveries.shown:d}
FROM deliveries AS d
WHERE d.account_id = :account_id AND d.event_id = :event_id
ORDER BY d.endpoint;

-- name: deliveries_page
-- Deliveries to an endpoint in one state, those tried last first, from after one of them on.
SELECT {deliveries.shown:d}
FROM deliveries AS d
WHERE d.endpoint = :endpoint AND d.state = :state
    AND (d.at_us, d.account_id, d.event_id) < (:at_us, :account_id, :event_id)
ORDER BY d.at_us DESC, d.account_id DESC, d.event_id DESC
LIMIT :limit;

-- name: lots_expiring
-- Lots with something left that expire by a time, of those that live longer than so long, from after one of them on.
SELECT l.account_id, l.id, l.expires_at_us
FROM lots AS l
WHERE l.remaining_nano > 0 AND l.expires_at_us < 4611686018427387904 AND l.expires_at_us <= :until_us
    AND l.expires_at_us - l.granted_at_us > :life_us
    AND (l.expires_at_us, l.account_id, l.id) > (:after_us, :account_id, :id)
ORDER BY l.expires_at_us, l.account_id, l.id
LIMIT :limit;

-- name: events_of_since
-- The events of an account from a time on, oldest first, from after one of them on, which came then.
SELECT {events.shown:e}
FROM events AS e
WHERE e.account_id = :account_id AND e.at_us >= :at_us
    AND (
        :after = ''
        OR (e.at_us, e.place, e.id) > (
            SELECT c.at_us, c.place, c.id FROM events AS c WHERE c.account_id = :account_id AND c.id = :after
        )
    )
ORDER BY e.at_us, e.place, e.id
LIMIT :limit;

-- name: receivers_of_account
-- The receivers of an account.
SELECT {receivers.shown}
FROM receivers
WHERE account_id = :account_id
ORDER BY id;

-- name: receiver_by_id
-- One receiver of an account.
SELECT {receivers.shown}
FROM receivers
WHERE account_id = :account_id AND id = :id;

-- name: receivers_due
-- Receivers of all accounts that are due to be told of something, from after one of them on.
SELECT {receivers.shown:r}
FROM receivers AS r
WHERE (r.account_id, r.id) > (:account_id, :id)
    AND EXISTS (
        SELECT 1 FROM deliveries AS d
        WHERE d.endpoint = r.id AND d.state = 'pending' AND d.next_at_us <= :now_us AND d.account_id = r.account_id
    )
ORDER BY r.account_id, r.id
LIMIT :limit;

-- name: receivers_waiting
-- How many deliveries to receivers of accounts are pending, counted up to a number, and when the oldest event was.
SELECT COUNT(*) AS waiting, MIN(p.at_us) AS oldest_us
FROM (
    SELECT e.at_us
    FROM receivers AS r
    JOIN deliveries AS d ON d.endpoint = r.id AND d.state = 'pending' AND d.account_id = r.account_id
    JOIN events AS e ON e.account_id = d.account_id AND e.id = d.event_id
    WHERE r.account_id > ''
    LIMIT :limit
) AS p;
