-- How a batch writes what its rules changed. The row of a VALUES is repeated for as many rows as there are.

-- name: put_accounts
-- Add accounts or replace what can change of them.
INSERT INTO accounts ({accounts.columns})
VALUES {accounts.parameters}
ON CONFLICT ({accounts.key}) DO UPDATE SET {accounts.upsert};

-- name: put_keys
-- Add keys or replace what can change of them.
INSERT INTO keys ({keys.columns})
VALUES {keys.parameters}
ON CONFLICT ({keys.key}) DO UPDATE SET {keys.upsert};

-- name: add_key_digests
-- Add what leads to keys.
INSERT INTO key_digests ({key_digests.columns})
VALUES {key_digests.parameters};

-- name: add_lots
-- Add lots.
INSERT INTO lots ({lots.columns})
VALUES {lots.parameters};

-- name: put_lots
-- Replace what can change of lots that are there.
INSERT INTO lots ({lots.columns})
VALUES {lots.parameters}
ON CONFLICT ({lots.key}) DO UPDATE SET {lots.upsert};

-- name: put_buckets
-- Add buckets that have ended, or replace their sums.
INSERT INTO buckets ({buckets.columns})
VALUES {buckets.parameters}
ON CONFLICT ({buckets.key}) DO UPDATE SET {buckets.upsert};

-- name: put_throttles
-- Add throttles or replace their levels.
INSERT INTO throttles ({throttles.columns})
VALUES {throttles.parameters}
ON CONFLICT ({throttles.key}) DO UPDATE SET {throttles.upsert};

-- name: add_holds
-- Add holds.
INSERT INTO holds ({holds.columns})
VALUES {holds.parameters};

-- name: change_holds
-- Replace what can change of holds: a JSON array of whole rows.
UPDATE holds SET {holds.set_from_row:j.value}
FROM json_each(?) AS j
WHERE holds.id = j.value ->> 0 AND holds.account_id = j.value ->> 1;

-- name: close_holds
-- Move holds to their last state: the state, and a JSON array of their ids. The rules make no id for two accounts.
UPDATE holds SET state = ?, call = NULL, observed = NULL, deadline_us = NULL, seal = NULL
WHERE id IN (SELECT value FROM json_each(?));

-- name: add_entries
-- Add entries.
INSERT INTO entries ({entries.columns})
VALUES {entries.parameters};

-- name: add_receipts
-- Add receipts.
INSERT INTO receipts ({receipts.columns})
VALUES {receipts.parameters};

-- name: add_usage_days
-- Count receipts in their day.
INSERT INTO usage_days ({usage_days.columns})
VALUES {usage_days.parameters}
ON CONFLICT ({usage_days.key}) DO UPDATE SET {usage_days.upsert};

-- name: add_usage_totals
-- Add to what days sum to over all accounts.
INSERT INTO usage_totals ({usage_totals.columns})
VALUES {usage_totals.parameters}
ON CONFLICT ({usage_totals.key}) DO UPDATE SET {usage_totals.upsert};
