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
    _scope_accounts TEXT[], _scope_ids TEXT[], _days BIGINT[], _latest_us BIGINT, _rare JSONB
) RETURNS TEXT LANGUAGE plpgsql AS $$
DECLARE
    owner owners;
    first_day BIGINT;
    accounts JSON;
    keys JSON;
    lots JSON;
    buckets JSON;
    throttles JSON;
    holds JSON;
    open_holds JSON;
    rare JSON[];
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
    IF _rare IS NOT NULL THEN
        -- What is no account's. The rest is read once these are locked, by statements that see them.
        {rare.locks}
        rare := '{}';
        {rare.loads}
    END IF;
    RETURN json_build_array(
        owner.batches, FALSE, accounts, keys, lots, buckets, throttles, holds, open_holds, rare
    );
END
$$;

-- Writes what a batch has changed: for each kind of row a JSON object of the columns' names and of rows as arrays. The
-- names must be those that this version knows, so that no value gets into another column.
CREATE FUNCTION ledger_write_v{version}(_change JSONB) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    _rare JSONB := _change -> 'rare';
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
    IF _change ? 'receipts' THEN
        ASSERT _change #> '{receipts,columns}' = {receipts.names}, 'receipts come with other columns';
        INSERT INTO receipts ({receipts.columns})
        SELECT {receipts.from_json:r}
        FROM jsonb_array_elements(_change #> '{receipts,rows}') AS r;
    END IF;
    -- What is gone may be there again, so that it goes first.
    IF _rare IS NOT NULL THEN
        {rare.writes}
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
