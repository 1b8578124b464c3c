-- The two halves of a batch. Each costs one round trip; between them Farebox runs the rules.
--
-- CockroachDB has functions like these, but gives the statements of one the same snapshot, and no row lock that another
-- transaction had to wait for: there the transaction must be SERIALIZABLE, and what fails is carried out again.
-- Citus runs them on the coordinator, or, for batches of one account, where that account is.

-- Locks a batch's accounts in the order of their ids, then reads all that it needs: JSON of rows as arrays, each in the
-- order of the columns. Every other row belongs to one of the accounts and is written under its lock. Each statement
-- has its own snapshot, so those after the locks see all that was committed before.
CREATE FUNCTION ledger_load_v{version}(
    _owner TEXT, _accounts TEXT[], _key_accounts TEXT[], _key_ids TEXT[], _hold_ids TEXT[],
    _scope_accounts TEXT[], _scope_ids TEXT[], _days BIGINT[], _command_accounts TEXT[], _command_ids TEXT[],
    _latest_us BIGINT, _object_accounts TEXT[], _object_ids TEXT[], _rare JSON
) RETURNS TEXT LANGUAGE plpgsql AS $$
DECLARE
    owner owners;
    first_day BIGINT;
    accounts JSON;
    keys JSON;
    lots JSON;
    buckets JSON;
    throttles JSON;
    commands JSON;
    holds JSON;
    open_holds JSON;
    entries JSON;
    objects JSON;
    rare JSON;
BEGIN
    -- A process that vanishes between the halves blocks its accounts no longer than this.
    PERFORM set_config('idle_in_transaction_session_timeout', current_setting('farebox.locked_timeout'), TRUE);
    -- An earlier connection of this process may still be at work and hold this lock: the batch waits for it here. A
    -- process that finds this one gone holds it as well: without a name no batch begins.
    SELECT o.* INTO owner FROM owners AS o WHERE o.name = _owner FOR UPDATE;
    IF NOT FOUND OR owner.gone THEN
        RETURN json_build_array(owner.batches, TRUE);
    END IF;
    SELECT json_agg(json_build_array({accounts.columns:a})) INTO accounts
    FROM (SELECT * FROM accounts AS l WHERE l.id = ANY (_accounts) ORDER BY l.id FOR UPDATE) AS a;
    SELECT json_agg(json_build_array({lots.columns:l})) INTO lots
    FROM lots AS l
    WHERE l.account_id = ANY (_accounts) AND l.remaining_nano > 0;
    IF cardinality(_key_ids) > 0 THEN
        SELECT json_agg(json_build_array({keys.columns:k})) INTO keys
        FROM unnest(_key_accounts, _key_ids) AS n (account_id, id)
        JOIN keys AS k USING (account_id, id);
    END IF;
    -- Only a day before that of an account's or key's own sums can be in windows that have ended; the longest has 31 days.
    first_day := (SELECT min(day) FROM unnest(_days) AS n (day));
    IF EXISTS (
        SELECT FROM accounts AS a WHERE a.id = ANY (_accounts) AND (a.spending::JSON ->> 0)::BIGINT > first_day
        UNION ALL
        SELECT FROM unnest(_key_accounts, _key_ids) AS n (account_id, id)
        JOIN keys AS k USING (account_id, id)
        WHERE (k.spending::JSON ->> 0)::BIGINT > first_day
    ) THEN
        SELECT json_agg(json_build_array({buckets.columns:b})) INTO buckets
        FROM unnest(_scope_accounts, _scope_ids, _days) AS n (account_id, scope_id, day)
        JOIN buckets AS b ON b.account_id = n.account_id AND b.scope_id = n.scope_id
            AND b.start_day > n.day - 31 AND b.start_day <= n.day;
    END IF;
    IF cardinality(_scope_ids) > 0 THEN
        SELECT json_agg(json_build_array({throttles.columns:t})) INTO throttles
        FROM unnest(_scope_accounts, _scope_ids) AS n (account_id, scope_id)
        JOIN throttles AS t USING (account_id, scope_id);
    END IF;
    IF cardinality(_command_ids) > 0 THEN
        SELECT json_agg(json_build_array({commands.columns:c})) INTO commands
        FROM unnest(_command_accounts, _command_ids) AS n (account_id, command_id)
        JOIN commands AS c USING (account_id, command_id);
        SELECT json_agg(json_build_array({entries.columns:e})) INTO entries
        FROM unnest(_command_accounts, _command_ids) AS n (account_id, command_id)
        JOIN commands AS c USING (account_id, command_id)
        JOIN entries AS e ON e.account_id = c.account_id AND e.seq = c.seq;
    END IF;
    IF cardinality(_hold_ids) > 0 THEN
        SELECT json_agg(json_build_array(
            {holds.columns:h},
            -- The columns of a closed one are followed by its call, from the receipt.
            CASE WHEN h.call IS NULL THEN (
                SELECT json_build_array({receipts.call:u})::TEXT
                FROM receipts AS u
                WHERE u.account_id = h.account_id AND u.id = h.id AND u.day = h.created_at_us / 86400000000
            ) END
        )) INTO holds
        FROM holds AS h
        WHERE h.id = ANY (_hold_ids);
    END IF;
    IF EXISTS (SELECT FROM accounts AS a WHERE a.id = ANY (_accounts) AND a.next_expiry_us <= _latest_us) THEN
        SELECT json_agg(json_build_array({holds.columns:h})) INTO open_holds
        FROM accounts AS a
        JOIN holds AS h ON h.account_id = a.id AND h.state = 'open'
        WHERE a.id = ANY (_accounts) AND a.next_expiry_us <= _latest_us;
    END IF;
    IF cardinality(_object_ids) > 0 THEN
        SELECT json_agg(json_build_array({objects.columns:o})) INTO objects
        FROM unnest(_object_accounts, _object_ids) AS n (account_id, id)
        JOIN objects AS o USING (account_id, id);
    END IF;
    IF _rare IS NOT NULL THEN
        -- Vouchers are no account's. Claims are read once their vouchers are locked, by a statement that sees them.
        PERFORM FROM vouchers AS v
        WHERE v.digest IN (SELECT json_array_elements_text(_rare -> 'vouchers'))
        ORDER BY v.digest FOR UPDATE;
        rare := json_build_object(
            'lots', (
                SELECT json_agg(json_build_array({lots.columns:l}))
                FROM json_array_elements(_rare -> 'lots') AS n
                JOIN lots AS l ON l.account_id = n ->> 0 AND l.id = n ->> 1
            ),
            'entries', (
                SELECT json_agg(json_build_array({entries.columns:e}))
                FROM json_array_elements(_rare -> 'entries') AS n
                JOIN entries AS e ON e.account_id = n ->> 0 AND e.seq = (n ->> 1)::BIGINT
            ),
            'refunds', (
                SELECT json_agg(json_build_array(n ->> 0, n ->> 1, (
                    SELECT SUM(e.amount_nano)::BIGINT
                    FROM entries AS e
                    WHERE e.account_id = n ->> 0 AND e.ref = n ->> 1 AND e.kind = 'refund'
                )))
                FROM json_array_elements(_rare -> 'refunds') AS n
            ),
            'memberships', (
                SELECT json_agg(json_build_array({memberships.columns:m}))
                FROM memberships AS m
                WHERE m.account_id IN (SELECT json_array_elements_text(_rare -> 'memberships'))
            ),
            'vouchers', (
                SELECT json_agg(json_build_array({vouchers.columns:v}))
                FROM vouchers AS v
                WHERE v.digest IN (SELECT json_array_elements_text(_rare -> 'vouchers'))
            ),
            'claims', (
                SELECT json_agg(json_build_array({voucher_claims.columns:c}))
                FROM json_array_elements(_rare -> 'claims') AS n
                JOIN voucher_claims AS c ON c.digest = n ->> 0 AND c.account_id = n ->> 1
            ),
            'counters', (
                SELECT json_agg(json_build_array({counters.columns:c}))
                FROM json_array_elements(_rare -> 'counters') AS n
                JOIN counters AS c ON c.account_id = n ->> 0 AND c.name = n ->> 1 AND c."window" = n ->> 2
                    AND c.start_day = (n ->> 3)::BIGINT
            ),
            'top_ups', (
                SELECT json_agg(json_build_array({top_ups.columns:t}))
                FROM (
                    SELECT o.*
                    FROM json_array_elements(_rare -> 'top_ups') AS n
                    JOIN top_ups AS o ON o.account_id = n ->> 0 AND o.id = n ->> 1
                    UNION
                    SELECT o.*
                    FROM json_array_elements_text(_rare -> 'pending') AS n
                    JOIN top_ups AS o ON o.account_id = n AND o.state = 'pending'
                ) AS t
            ),
            'auto_top_ups', (
                SELECT json_agg(json_build_array({auto_top_ups.columns:t}))
                FROM auto_top_ups AS t
                WHERE t.account_id IN (SELECT json_array_elements_text(_rare -> 'auto_top_ups'))
            ),
            'references', (
                SELECT json_agg(json_build_array({top_up_references.columns:r}))
                FROM json_array_elements(_rare -> 'references') AS n
                JOIN top_up_references AS r ON r.provider = n ->> 0 AND r.reference = n ->> 1
            ),
            'invoices', (
                SELECT json_agg(json_build_array({invoices.columns:i}))
                FROM json_array_elements(_rare -> 'invoices') AS n
                JOIN invoices AS i ON i.account_id = n ->> 0 AND (
                    i.period = n ->> 1
                    OR i.period = (SELECT max(m.period) FROM invoices AS m WHERE m.account_id = n ->> 0)
                )
            ),
            'events', (
                SELECT json_agg(json_build_array({events.columns:e}))
                FROM json_array_elements(_rare -> 'events') AS n
                JOIN events AS e ON e.account_id = n ->> 0 AND e.id = n ->> 1
            ),
            'deliveries', (
                SELECT json_agg(json_build_array({deliveries.columns:d}))
                FROM json_array_elements(_rare -> 'deliveries') AS n
                JOIN deliveries AS d ON d.account_id = n ->> 0 AND d.event_id = n ->> 1 AND d.endpoint = n ->> 2
            )
        );
    END IF;
    RETURN json_build_array(
        owner.batches, FALSE, accounts, keys, lots, buckets, throttles, commands, holds, open_holds, entries, objects,
        rare
    );
END
$$;

-- Writes what a batch has changed: for each kind of row a JSON object of the columns' names and of rows as arrays. The
-- names must be those that this version knows, so that no value gets into another column.
CREATE FUNCTION ledger_write_v{version}(_change JSONB) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    UPDATE owners SET batches = (_change ->> 'batch')::BIGINT
    WHERE name = _change ->> 'owner' AND batches = (_change ->> 'batch')::BIGINT - 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'batch % of % is not the next one', _change ->> 'batch', _change ->> 'owner'
            USING ERRCODE = 'serialization_failure';
    END IF;
    -- When two processes make a row under one id at once, one of them fails and then finds the other's row.
    IF _change ? 'new_accounts' THEN
        ASSERT _change #> '{new_accounts,columns}' = {accounts.names}, 'new_accounts come with other columns';
        INSERT INTO accounts ({accounts.columns})
        SELECT {accounts.from_json:r}
        FROM jsonb_array_elements(_change #> '{new_accounts,rows}') AS r;
    END IF;
    IF _change ? 'accounts' THEN
        ASSERT _change #> '{accounts,columns}' = {accounts.changed_names}, 'accounts come with other columns';
        UPDATE accounts SET {accounts.set_from_json:r}
        FROM jsonb_array_elements(_change #> '{accounts,rows}') AS r
        WHERE {accounts.match:r};
    END IF;
    IF _change ? 'new_keys' THEN
        ASSERT _change #> '{new_keys,columns}' = {keys.names}, 'new_keys come with other columns';
        INSERT INTO keys ({keys.columns})
        SELECT {keys.from_json:r}
        FROM jsonb_array_elements(_change #> '{new_keys,rows}') AS r;
    END IF;
    IF _change ? 'key_digests' THEN
        ASSERT _change #> '{key_digests,columns}' = {key_digests.names}, 'key_digests come with other columns';
        INSERT INTO key_digests ({key_digests.columns})
        SELECT {key_digests.from_json:r}
        FROM jsonb_array_elements(_change #> '{key_digests,rows}') AS r;
    END IF;
    IF _change ? 'keys' THEN
        ASSERT _change #> '{keys,columns}' = {keys.changed_names}, 'keys come with other columns';
        UPDATE keys SET {keys.set_from_json:r}
        FROM jsonb_array_elements(_change #> '{keys,rows}') AS r
        WHERE {keys.match:r};
    END IF;
    IF _change ? 'new_lots' THEN
        ASSERT _change #> '{new_lots,columns}' = {lots.names}, 'new_lots come with other columns';
        INSERT INTO lots ({lots.columns})
        SELECT {lots.from_json:r}
        FROM jsonb_array_elements(_change #> '{new_lots,rows}') AS r;
    END IF;
    IF _change ? 'lots' THEN
        ASSERT _change #> '{lots,columns}' = {lots.changed_names}, 'lots come with other columns';
        UPDATE lots SET {lots.set_from_json:r}
        FROM jsonb_array_elements(_change #> '{lots,rows}') AS r
        WHERE {lots.match:r};
    END IF;
    IF _change ? 'buckets' THEN
        ASSERT _change #> '{buckets,columns}' = {buckets.names}, 'buckets come with other columns';
        INSERT INTO buckets ({buckets.columns})
        SELECT {buckets.from_json:r}
        FROM jsonb_array_elements(_change #> '{buckets,rows}') AS r
        ON CONFLICT ({buckets.key}) DO UPDATE SET {buckets.upsert};
    END IF;
    IF _change ? 'throttles' THEN
        ASSERT _change #> '{throttles,columns}' = {throttles.names}, 'throttles come with other columns';
        INSERT INTO throttles ({throttles.columns})
        SELECT {throttles.from_json:r}
        FROM jsonb_array_elements(_change #> '{throttles,rows}') AS r
        ON CONFLICT ({throttles.key}) DO UPDATE SET {throttles.upsert};
    END IF;
    IF _change ? 'new_holds' THEN
        ASSERT _change #> '{new_holds,columns}' = {holds.names}, 'new_holds come with other columns';
        INSERT INTO holds ({holds.columns})
        SELECT {holds.from_json:r}
        FROM jsonb_array_elements(_change #> '{new_holds,rows}') AS r;
    END IF;
    IF _change ? 'holds' THEN
        ASSERT _change #> '{holds,columns}' = {holds.changed_names}, 'holds come with other columns';
        UPDATE holds SET {holds.set_from_json:r}
        FROM jsonb_array_elements(_change #> '{holds,rows}') AS r
        WHERE {holds.match:r};
    END IF;
    IF _change ? 'entries' THEN
        ASSERT _change #> '{entries,columns}' = {entries.names}, 'entries come with other columns';
        INSERT INTO entries ({entries.columns})
        SELECT {entries.from_json:r}
        FROM jsonb_array_elements(_change #> '{entries,rows}') AS r;
    END IF;
    IF _change ? 'commands' THEN
        ASSERT _change #> '{commands,columns}' = {commands.names}, 'commands come with other columns';
        INSERT INTO commands ({commands.columns})
        SELECT {commands.from_json:r}
        FROM jsonb_array_elements(_change #> '{commands,rows}') AS r;
    END IF;
    IF _change ? 'receipts' THEN
        ASSERT _change #> '{receipts,columns}' = {receipts.names}, 'receipts come with other columns';
        INSERT INTO receipts ({receipts.columns})
        SELECT {receipts.from_json:r}
        FROM jsonb_array_elements(_change #> '{receipts,rows}') AS r;
    END IF;
    -- What is gone may be there again, as another call's.
    IF _change ? 'gone_objects' THEN
        ASSERT _change #> '{gone_objects,columns}' = {objects.key_names}, 'gone_objects come with other columns';
        DELETE FROM objects
        USING jsonb_array_elements(_change #> '{gone_objects,rows}') AS r
        WHERE {objects.match:r};
    END IF;
    IF _change ? 'objects' THEN
        ASSERT _change #> '{objects,columns}' = {objects.names}, 'objects come with other columns';
        INSERT INTO objects ({objects.columns})
        SELECT {objects.from_json:r}
        FROM jsonb_array_elements(_change #> '{objects,rows}') AS r
        ON CONFLICT ({objects.key}) DO UPDATE SET {objects.upsert};
    END IF;
    IF _change ? 'memberships' THEN
        ASSERT _change #> '{memberships,columns}' = {memberships.names}, 'memberships come with other columns';
        INSERT INTO memberships ({memberships.columns})
        SELECT {memberships.from_json:r}
        FROM jsonb_array_elements(_change #> '{memberships,rows}') AS r
        ON CONFLICT ({memberships.key}) DO UPDATE SET {memberships.upsert};
    END IF;
    IF _change ? 'vouchers' THEN
        ASSERT _change #> '{vouchers,columns}' = {vouchers.names}, 'vouchers come with other columns';
        INSERT INTO vouchers ({vouchers.columns})
        SELECT {vouchers.from_json:r}
        FROM jsonb_array_elements(_change #> '{vouchers,rows}') AS r
        ON CONFLICT ({vouchers.key}) DO UPDATE SET {vouchers.upsert};
    END IF;
    IF _change ? 'voucher_claims' THEN
        ASSERT _change #> '{voucher_claims,columns}' = {voucher_claims.names}, 'claims come with other columns';
        INSERT INTO voucher_claims ({voucher_claims.columns})
        SELECT {voucher_claims.from_json:r}
        FROM jsonb_array_elements(_change #> '{voucher_claims,rows}') AS r;
    END IF;
    IF _change ? 'counters' THEN
        ASSERT _change #> '{counters,columns}' = {counters.names}, 'counters come with other columns';
        INSERT INTO counters ({counters.columns})
        SELECT {counters.from_json:r}
        FROM jsonb_array_elements(_change #> '{counters,rows}') AS r
        ON CONFLICT ({counters.key}) DO UPDATE SET {counters.upsert};
    END IF;
    IF _change ? 'gone_events' THEN
        ASSERT _change #> '{gone_events,columns}' = {events.key_names}, 'gone_events come with other columns';
        DELETE FROM deliveries AS d
        USING jsonb_array_elements(_change #> '{gone_events,rows}') AS r
        WHERE d.account_id = r ->> 0 AND d.event_id = r ->> 1;
        DELETE FROM events
        USING jsonb_array_elements(_change #> '{gone_events,rows}') AS r
        WHERE {events.match:r};
    END IF;
    -- One cause leaves one event, whatever has become of it.
    IF _change ? 'events' THEN
        ASSERT _change #> '{events,columns}' = {events.names}, 'events come with other columns';
        INSERT INTO events ({events.columns})
        SELECT {events.from_json:r}
        FROM jsonb_array_elements(_change #> '{events,rows}') AS r
        ON CONFLICT ({events.key}) DO NOTHING;
    END IF;
    IF _change ? 'top_ups' THEN
        ASSERT _change #> '{top_ups,columns}' = {top_ups.names}, 'top_ups come with other columns';
        INSERT INTO top_ups ({top_ups.columns})
        SELECT {top_ups.from_json:r}
        FROM jsonb_array_elements(_change #> '{top_ups,rows}') AS r
        ON CONFLICT ({top_ups.key}) DO UPDATE SET {top_ups.upsert};
    END IF;
    IF _change ? 'auto_top_ups' THEN
        ASSERT _change #> '{auto_top_ups,columns}' = {auto_top_ups.names}, 'auto_top_ups come with other columns';
        INSERT INTO auto_top_ups ({auto_top_ups.columns})
        SELECT {auto_top_ups.from_json:r}
        FROM jsonb_array_elements(_change #> '{auto_top_ups,rows}') AS r
        ON CONFLICT ({auto_top_ups.key}) DO UPDATE SET {auto_top_ups.upsert};
    END IF;
    IF _change ? 'top_up_references' THEN
        ASSERT _change #> '{top_up_references,columns}' = {top_up_references.names},
            'references come with other columns';
        INSERT INTO top_up_references ({top_up_references.columns})
        SELECT {top_up_references.from_json:r}
        FROM jsonb_array_elements(_change #> '{top_up_references,rows}') AS r;
    END IF;
    IF _change ? 'invoices' THEN
        ASSERT _change #> '{invoices,columns}' = {invoices.names}, 'invoices come with other columns';
        INSERT INTO invoices ({invoices.columns})
        SELECT {invoices.from_json:r}
        FROM jsonb_array_elements(_change #> '{invoices,rows}') AS r;
    END IF;
    IF _change ? 'routed_events' THEN
        ASSERT _change #> '{routed_events,columns}' = {events.names}, 'routed_events come with other columns';
        INSERT INTO events ({events.columns})
        SELECT {events.from_json:r}
        FROM jsonb_array_elements(_change #> '{routed_events,rows}') AS r
        ON CONFLICT ({events.key}) DO UPDATE SET {events.upsert};
    END IF;
    IF _change ? 'deliveries' THEN
        ASSERT _change #> '{deliveries,columns}' = {deliveries.names}, 'deliveries come with other columns';
        INSERT INTO deliveries ({deliveries.columns})
        SELECT {deliveries.from_json:r}
        FROM jsonb_array_elements(_change #> '{deliveries,rows}') AS r
        ON CONFLICT ({deliveries.key}) DO UPDATE SET {deliveries.upsert};
    END IF;
    IF _change ? 'usage_days' THEN
        ASSERT _change #> '{usage_days,columns}' = {usage_days.names}, 'usage_days come with other columns';
        INSERT INTO usage_days ({usage_days.columns})
        SELECT {usage_days.from_json:r}
        FROM jsonb_array_elements(_change #> '{usage_days,rows}') AS r
        ON CONFLICT ({usage_days.key}) DO UPDATE SET {usage_days.upsert};
    END IF;
END
$$;
