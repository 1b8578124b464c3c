-- Whole tables for a copy: all columns in the order of the schema, and rows in the order of the primary key, so that the
-- other database is filled from front to back. Portable.

-- name: copy_accounts
-- Every account.
SELECT {accounts.columns}
FROM accounts
ORDER BY id;

-- name: copy_keys
-- Every key.
SELECT {keys.columns}
FROM keys
ORDER BY account_id, id;

-- name: copy_key_digests
-- What leads to every key.
SELECT {key_digests.columns}
FROM key_digests
ORDER BY digest;

-- name: copy_lots
-- Every lot.
SELECT {lots.columns}
FROM lots
ORDER BY account_id, id;

-- name: copy_buckets
-- Every bucket that has ended.
SELECT {buckets.columns}
FROM buckets
ORDER BY account_id, scope_id, "window", start_day;

-- name: copy_throttles
-- Every throttle.
SELECT {throttles.columns}
FROM throttles
ORDER BY account_id, scope_id, kind;

-- name: copy_holds
-- Every hold.
SELECT {holds.columns}
FROM holds
ORDER BY id;

-- name: copy_entries
-- Every entry.
SELECT {entries.columns}
FROM entries
ORDER BY account_id, seq;

-- name: copy_commands
-- Every command.
SELECT {commands.columns}
FROM commands
ORDER BY account_id, command_id;

-- name: copy_receipts
-- Every receipt, in no order: rows that were written together lie together, and no index has to be followed.
SELECT {receipts.columns}
FROM receipts;

-- name: copy_objects
-- Every object.
SELECT {objects.columns}
FROM objects
ORDER BY account_id, id;

-- name: copy_memberships
-- Every membership.
SELECT {memberships.columns}
FROM memberships
ORDER BY account_id;

-- name: copy_vouchers
-- Every voucher.
SELECT {vouchers.columns}
FROM vouchers
ORDER BY digest;

-- name: copy_voucher_claims
-- Every claim of a voucher.
SELECT {voucher_claims.columns}
FROM voucher_claims
ORDER BY digest, account_id;

-- name: copy_counters
-- Every counter.
SELECT {counters.columns}
FROM counters
ORDER BY account_id, name, "window", start_day;

-- name: copy_events
-- Every event.
SELECT {events.columns}
FROM events
ORDER BY account_id, id;

-- name: copy_top_ups
-- Every top-up.
SELECT {top_ups.columns}
FROM top_ups
ORDER BY account_id, id;

-- name: copy_auto_top_ups
-- How every account is topped up by itself.
SELECT {auto_top_ups.columns}
FROM auto_top_ups
ORDER BY account_id;

-- name: copy_top_up_references
-- Everything that providers call top-ups.
SELECT {top_up_references.columns}
FROM top_up_references
ORDER BY provider, reference;

-- name: copy_invoices
-- Every invoice.
SELECT {invoices.columns}
FROM invoices
ORDER BY account_id, period;

-- name: copy_deliveries
-- Every delivery.
SELECT {deliveries.columns}
FROM deliveries
ORDER BY account_id, event_id, endpoint;

-- name: copy_usage_days
-- Every usage day.
SELECT {usage_days.columns}
FROM usage_days
ORDER BY account_id, day, key_id, model;

-- name: copy_open_holds
-- How many holds are open.
SELECT COUNT(*)
FROM holds
WHERE state = 'open';
