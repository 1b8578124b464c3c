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

-- name: add_commands
-- Note that commands were carried out.
INSERT INTO commands ({commands.columns})
VALUES {commands.parameters};

-- name: add_receipts
-- Add receipts.
INSERT INTO receipts ({receipts.columns})
VALUES {receipts.parameters};

-- name: put_objects
-- Add objects or replace what can change of them.
INSERT INTO objects ({objects.columns})
VALUES {objects.parameters}
ON CONFLICT ({objects.key}) DO UPDATE SET {objects.upsert};

-- name: drop_objects
-- Delete objects: a JSON array of accounts and ids.
DELETE FROM objects
WHERE (account_id, id) IN (SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?) AS j);

-- name: put_memberships
-- Add memberships or replace what can change of them.
INSERT INTO memberships ({memberships.columns})
VALUES {memberships.parameters}
ON CONFLICT ({memberships.key}) DO UPDATE SET {memberships.upsert};

-- name: put_vouchers
-- Add vouchers or replace what can change of them.
INSERT INTO vouchers ({vouchers.columns})
VALUES {vouchers.parameters}
ON CONFLICT ({vouchers.key}) DO UPDATE SET {vouchers.upsert};

-- name: add_claims
-- Add claims of vouchers.
INSERT INTO voucher_claims ({voucher_claims.columns})
VALUES {voucher_claims.parameters};

-- name: put_counters
-- Add counters or replace what they have.
INSERT INTO counters ({counters.columns})
VALUES {counters.parameters}
ON CONFLICT ({counters.key}) DO UPDATE SET {counters.upsert};

-- name: drop_events
-- Delete events: a JSON array of accounts and ids.
DELETE FROM events
WHERE (account_id, id) IN (SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?) AS j);

-- name: drop_deliveries
-- Delete what became of telling of events: the same array.
DELETE FROM deliveries
WHERE (account_id, event_id) IN (SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?) AS j);

-- name: put_routed
-- Replace the state of events.
INSERT INTO events ({events.columns})
VALUES {events.parameters}
ON CONFLICT ({events.key}) DO UPDATE SET {events.upsert};

-- name: put_deliveries
-- Add deliveries or replace what can change of them.
INSERT INTO deliveries ({deliveries.columns})
VALUES {deliveries.parameters}
ON CONFLICT ({deliveries.key}) DO UPDATE SET {deliveries.upsert};

-- name: add_events
-- Add events but those that there are already: one cause leaves one event, whatever has become of it.
INSERT INTO events ({events.columns})
VALUES {events.parameters}
ON CONFLICT ({events.key}) DO NOTHING;

-- name: put_top_ups
-- Add top-ups or replace what can change of them.
INSERT INTO top_ups ({top_ups.columns})
VALUES {top_ups.parameters}
ON CONFLICT ({top_ups.key}) DO UPDATE SET {top_ups.upsert};

-- name: put_auto_top_ups
-- Add how accounts are topped up by themselves, or replace it.
INSERT INTO auto_top_ups ({auto_top_ups.columns})
VALUES {auto_top_ups.parameters}
ON CONFLICT ({auto_top_ups.key}) DO UPDATE SET {auto_top_ups.upsert};

-- name: add_references
-- Add what providers call top-ups.
INSERT INTO top_up_references ({top_up_references.columns})
VALUES {top_up_references.parameters};

-- name: add_invoices
-- Add invoices.
INSERT INTO invoices ({invoices.columns})
VALUES {invoices.parameters};

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
