-- What an audit reads, in the order in which it merges it: by account, then by id. Portable: every engine compares the
-- columns of the order by their bytes. Columns come in the order of the fields of the audit's rows.

-- name: audit_accounts
-- The figures of every account.
SELECT id, created_at_us, balance_nano, held_nano, debt_nano, credit_limit_nano, open_holds, entries, next_expiry_us,
    spending, owed_nano, "group"
FROM accounts
ORDER BY id;

-- name: audit_keys
-- Every key, by account, whether its digest leads to it, and the seal that lies there.
SELECT k.account_id, k.id, k.open_holds, k.spending, k.digest, k.hint, k.created_at_us, d.key_id IS NOT NULL, d.seal
FROM keys AS k
LEFT JOIN key_digests AS d ON d.digest = k.digest AND d.account_id = k.account_id AND d.key_id = k.id
ORDER BY k.account_id, k.id;

-- name: audit_lots
-- Every lot, by account. No index has them all in this order; they are sorted, outside memory where they are many.
SELECT account_id, id, kind, amount_nano, remaining_nano, priority, granted_at_us, expires_at_us
FROM lots
ORDER BY account_id;

-- name: audit_entries
-- Every entry, in the order of its account's chain.
SELECT account_id, seq, kind, amount_nano, balance_after_nano, debt_after_nano, ref, at_us, draws, note
FROM entries
ORDER BY account_id, seq;

-- name: audit_charges
-- The entries of calls, by call. They are sorted, as lots are. Behind the account's id a ref is compared as that
-- is: by its bytes, also in an engine where the column itself is not.
SELECT account_id, ref, seq, kind, amount_nano, at_us, draws, note
FROM entries
WHERE kind = 'charge'
ORDER BY account_id, account_id || ref, seq;

-- name: audit_puts
-- The entries of grants, adjustments and fees, by command, and those that other commands lead to. They are sorted, as those of
-- calls are.
SELECT account_id, ref, seq, kind, amount_nano, at_us, draws, note, about
FROM (
    SELECT account_id, ref, seq, kind, amount_nano, at_us, draws, note, '' AS about
    FROM entries
    WHERE kind IN ('grant', 'adjust', 'fee')
    UNION ALL
    SELECT c.account_id, c.command_id, e.seq, e.kind, e.amount_nano, e.at_us, e.draws, e.note, e.ref
    FROM commands AS c
    JOIN entries AS e ON e.account_id = c.account_id AND e.seq = c.seq
    WHERE e.kind IN ('void', 'refund')
) AS p
ORDER BY account_id, account_id || ref, seq;

-- name: audit_refunds
-- The entries of what calls were refunded, by call.
SELECT account_id, ref, seq, kind, amount_nano, at_us, draws, note
FROM entries
WHERE kind = 'refund' AND amount_nano > 0
ORDER BY account_id, account_id || ref, seq;

-- name: audit_commands
-- Every command.
SELECT account_id, command_id, digest, at_us, seq
FROM commands
ORDER BY account_id, command_id;

-- name: audit_holds
-- Every hold, by account and call: all its columns, which for a closed one are short. They are sorted, as lots are.
SELECT {holds.columns}
FROM holds
ORDER BY account_id, id;

-- name: audit_receipts
-- Every receipt, by account and call.
SELECT {receipts.columns}
FROM receipts
ORDER BY account_id, id;

-- name: audit_objects
-- Every object, by account and call.
SELECT {objects.columns}
FROM objects
ORDER BY account_id, call_id;

-- name: audit_days
-- Every usage day, by account.
SELECT {usage_days.columns}
FROM usage_days
ORDER BY account_id;

-- name: audit_throttles
-- What every throttle belongs to, by account.
SELECT account_id, scope_id
FROM throttles
ORDER BY account_id;

-- name: audit_totals
-- What usage days sum to over all accounts, where an engine keeps it, by group, day and id in one text.
SELECT "group" || '/' || day || '/' || id AS id, requests, input_tokens, cached_input_tokens, output_tokens,
    charged_nano
FROM usage_totals
ORDER BY 1;

-- name: audit_parts
-- Every usage day three times: as a part of the sum of its account, of its key and of its model. They are sorted, as
-- lots are.
SELECT 'account/' || day || '/' || account_id AS id, requests, input_tokens, cached_input_tokens, output_tokens,
    charged_nano
FROM usage_days
UNION ALL
SELECT 'key/' || day || '/' || key_id, requests, input_tokens, cached_input_tokens, output_tokens, charged_nano
FROM usage_days
UNION ALL
SELECT 'model/' || day || '/' || model, requests, input_tokens, cached_input_tokens, output_tokens, charged_nano
FROM usage_days
ORDER BY 1;

-- name: audit_buckets
-- Every bucket that has ended, by account.
SELECT {buckets.columns}
FROM buckets
ORDER BY account_id;

-- name: audit_counters
-- Every counter, by account.
SELECT {counters.columns}
FROM counters
ORDER BY account_id;

-- name: audit_events
-- Every event, by account.
SELECT {events.columns}
FROM events
ORDER BY account_id;

-- name: audit_credit_notes
-- Every credit note, by account and entry.
SELECT {credit_notes.columns}
FROM credit_notes
ORDER BY account_id, seq;

-- name: audit_receivers
-- Every receiver, by account and id.
SELECT {receivers.columns}
FROM receivers
ORDER BY account_id, id;

-- name: audit_invoices
-- Every invoice, by account and period.
SELECT {invoices.columns}
FROM invoices
ORDER BY account_id, period;

-- name: audit_deliveries
-- Every delivery, by account, and whether its event is there.
SELECT {deliveries.columns:d}, e.id IS NOT NULL
FROM deliveries AS d
LEFT JOIN events AS e ON e.account_id = d.account_id AND e.id = d.event_id
ORDER BY d.account_id;

-- name: audit_vouchers
-- Every voucher, by digest.
SELECT {vouchers.columns}
FROM vouchers
ORDER BY digest;

-- name: audit_memberships
-- Every membership.
SELECT {memberships.columns}
FROM memberships
ORDER BY account_id;

-- name: audit_claims
-- Every claim, by digest, and whether its account is there.
SELECT {voucher_claims.columns:c}, a.id IS NOT NULL
FROM voucher_claims AS c
LEFT JOIN accounts AS a ON a.id = c.account_id
ORDER BY c.digest, c.account_id;

-- name: audit_top_ups
-- Every top-up, by account.
SELECT {top_ups.columns}
FROM top_ups
ORDER BY account_id, id;

-- name: audit_references
-- Everything that providers call top-ups, by account.
SELECT {top_up_references.columns}
FROM top_up_references
ORDER BY account_id, top_up_id, provider, reference;

-- name: audit_end_users
-- End users by account.
SELECT {end_users.columns}
FROM end_users
ORDER BY account_id, id;

-- name: audit_auto_top_ups
-- How every account is topped up by itself.
SELECT {auto_top_ups.columns}
FROM auto_top_ups
ORDER BY account_id;

-- name: audit_levels
-- Everything that is there over time, by account.
SELECT {levels.columns}
FROM levels
ORDER BY account_id;
