-- What is there over time. Portable.

-- name: levels_due
-- The things of a type of which there is something before a moment that is not charged, from after one of them on.
SELECT {levels.shown}
FROM levels
WHERE type = :type AND since_us < 4611686018427387904 AND since_us < :until_us
    AND (account_id, thing) > (:account_id, :thing)
ORDER BY account_id, thing
LIMIT :limit;

-- name: level_by_name
-- One thing of an account.
SELECT {levels.shown}
FROM levels
WHERE account_id = :account_id AND type = :type AND thing = :thing;

-- name: levels_page
-- The things of an account, by type and name, from after one of them on.
SELECT {levels.shown}
FROM levels
WHERE account_id = :account_id AND (type, thing) > (:type, :thing)
ORDER BY type, thing
LIMIT :limit;
