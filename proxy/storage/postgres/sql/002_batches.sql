-- The two halves of a batch, so that each costs one round trip; between them the rules run in Farebox.
--
-- CockroachDB has functions like these, but gives the statements of one the same snapshot, and no row lock that another
-- transaction had to wait for: there the transaction must be SERIALIZABLE, and what fails is carried out again.
-- Citus runs them on the coordinator, or, for batches of one account, where that account is.

-- Locks a batch's accounts in the order of their ids, then reads all that it needs: JSON of rows as arrays, each in the
-- order of the columns. Every other row belongs to one of the accounts, and is written under its lock only. Each
-- statement here has a snapshot of its own, so that those after the locks see all that was committed before.
CREATE FUNCTION ledger_load(
    _owner TEXT, _accounts TEXT[], _keys TEXT[], _holds TEXT[], _scopes TEXT[], _days BIGINT[],
    _command_accounts TEXT[], _command_ids TEXT[], _latest_us BIGINT
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
BEGIN
    -- Whoever vanishes between the halves keeps others from its accounts no longer than this.
    PERFORM set_config('idle_in_transaction_session_timeout', current_setting('farebox.locked_timeout'), TRUE);
    -- An earlier connection of this process that may still be at work has this lock, and is waited for here. So is
    -- whoever finds this process gone: without a name no batch begins.
    SELECT o.* INTO owner FROM owners AS o WHERE o.name = _owner FOR UPDATE;
    IF NOT FOUND OR owner.gone THEN
        RETURN json_build_array(owner.batches, TRUE);
    END IF;
    SELECT json_agg(json_build_array(
        a.id, a.name, a.created_at_us, a.status, a.balance_nano, a.held_nano, a.debt_nano, a.credit_limit_nano,
        a.open_holds, a.entries, a.next_expiry_us, a.limits, a.spending
    )) INTO accounts
    FROM (SELECT * FROM accounts AS l WHERE l.id = ANY (_accounts) ORDER BY l.id FOR UPDATE) AS a;
    SELECT json_agg(json_build_array(
        l.id, l.account_id, l.kind, l.amount_nano, l.remaining_nano, l.priority, l.granted_at_us, l.expires_at_us
    )) INTO lots
    FROM lots AS l
    WHERE l.account_id = ANY (_accounts) AND l.remaining_nano > 0;
    IF cardinality(_keys) > 0 THEN
        SELECT json_agg(json_build_array(
            k.id, k.account_id, k.name, k.digest, k.hint, k.created_at_us, k.status, k.expires_at_us, k.models,
            k.limits, k.open_holds, k.spending
        )) INTO keys
        FROM keys AS k
        WHERE k.id = ANY (_keys);
    END IF;
    -- Only a day before that of an account's or key's own sums can be in windows that have ended; the longest has 31.
    first_day := (SELECT min(day) FROM unnest(_days) AS n (day));
    IF EXISTS (
        SELECT FROM accounts AS a WHERE a.id = ANY (_accounts) AND (a.spending::JSON ->> 0)::BIGINT > first_day
        UNION ALL
        SELECT FROM keys AS k WHERE k.id = ANY (_keys) AND (k.spending::JSON ->> 0)::BIGINT > first_day
    ) THEN
        SELECT json_agg(json_build_array(b.scope_id, b."window", b.start_day, b.spent_nano, b.held_nano)) INTO buckets
        FROM unnest(_scopes, _days) AS n (scope_id, day)
        JOIN buckets AS b ON b.scope_id = n.scope_id AND b.start_day > n.day - 31 AND b.start_day <= n.day;
    END IF;
    IF cardinality(_scopes) > 0 THEN
        SELECT json_agg(json_build_array(t.scope_id, t.kind, t.level, t.at_us)) INTO throttles
        FROM throttles AS t
        WHERE t.scope_id = ANY (_scopes);
    END IF;
    IF cardinality(_command_ids) > 0 THEN
        SELECT json_agg(json_build_array(c.account_id, c.command_id, c.digest, c.at_us)) INTO commands
        FROM unnest(_command_accounts, _command_ids) AS n (account_id, command_id)
        JOIN commands AS c USING (account_id, command_id);
    END IF;
    IF cardinality(_holds) > 0 THEN
        SELECT json_agg(json_build_array(
            h.id, h.account_id, h.key_id, h.amount_nano, h.tokens, h.state, h.created_at_us, h.owner,
            -- The call of a closed hold comes from its receipt.
            coalesce(h.call, (
                SELECT json_build_array(
                    u.endpoint, u.model, u.upstream, u.upstream_model, u.stream = 1, u.started_at_us
                )::TEXT
                FROM receipts AS u
                WHERE u.account_id = h.account_id AND u.id = h.id AND u.day = h.created_at_us / 86400000000
            )),
            h.observed
        )) INTO holds
        FROM holds AS h
        WHERE h.id = ANY (_holds);
    END IF;
    IF EXISTS (SELECT FROM accounts AS a WHERE a.id = ANY (_accounts) AND a.next_expiry_us <= _latest_us) THEN
        SELECT json_agg(json_build_array(
            h.id, h.account_id, h.key_id, h.amount_nano, h.tokens, h.state, h.created_at_us, h.owner, h.call, h.observed
        )) INTO open_holds
        FROM accounts AS a
        JOIN holds AS h ON h.account_id = a.id AND h.state = 'open'
        WHERE a.id = ANY (_accounts) AND a.next_expiry_us <= _latest_us;
    END IF;
    RETURN json_build_array(
        owner.batches, FALSE, accounts, keys, lots, buckets, throttles, commands, holds, open_holds
    );
END
$$;

-- Writes what a batch has changed: a JSON object of rows as arrays, by what is to be done with them. A statement is
-- left out where there is nothing for it.
CREATE FUNCTION ledger_write(_change JSONB) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    UPDATE owners SET batches = (_change ->> 'batch')::BIGINT
    WHERE name = _change ->> 'owner' AND batches = (_change ->> 'batch')::BIGINT - 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'batch % of % is not the next one', _change ->> 'batch', _change ->> 'owner'
            USING ERRCODE = 'serialization_failure';
    END IF;
    -- What two processes make at once under one id fails for one of them, which then finds the other's.
    IF _change ? 'new_accounts' THEN
        INSERT INTO accounts (
            id, name, created_at_us, status, balance_nano, held_nano, debt_nano, credit_limit_nano, open_holds, entries,
            next_expiry_us, limits, spending
        )
        SELECT r ->> 0, r ->> 1, (r ->> 2)::BIGINT, r ->> 3, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT,
            (r ->> 7)::BIGINT, (r ->> 8)::BIGINT, (r ->> 9)::BIGINT, (r ->> 10)::BIGINT, r ->> 11,
            r ->> 12
        FROM jsonb_array_elements(_change -> 'new_accounts') AS r;
    END IF;
    IF _change ? 'accounts' THEN
        UPDATE accounts SET
            name = r ->> 1,
            status = r ->> 3,
            balance_nano = (r ->> 4)::BIGINT,
            held_nano = (r ->> 5)::BIGINT,
            debt_nano = (r ->> 6)::BIGINT,
            credit_limit_nano = (r ->> 7)::BIGINT,
            open_holds = (r ->> 8)::BIGINT,
            entries = (r ->> 9)::BIGINT,
            next_expiry_us = (r ->> 10)::BIGINT,
            limits = r ->> 11,
            spending = r ->> 12
        FROM jsonb_array_elements(_change -> 'accounts') AS r
        WHERE id = r ->> 0;
    END IF;
    IF _change ? 'new_keys' THEN
        INSERT INTO keys (
            id, account_id, name, digest, hint, created_at_us, status, expires_at_us, models, limits, open_holds,
            spending
        )
        SELECT r ->> 0, r ->> 1, r ->> 2, r ->> 3, r ->> 4, (r ->> 5)::BIGINT, r ->> 6, (r ->> 7)::BIGINT, r ->> 8,
            r ->> 9, (r ->> 10)::BIGINT, r ->> 11
        FROM jsonb_array_elements(_change -> 'new_keys') AS r;
    END IF;
    IF _change ? 'keys' THEN
        UPDATE keys SET
            name = r ->> 2,
            status = r ->> 6,
            expires_at_us = (r ->> 7)::BIGINT,
            models = r ->> 8,
            limits = r ->> 9,
            open_holds = (r ->> 10)::BIGINT,
            spending = r ->> 11
        FROM jsonb_array_elements(_change -> 'keys') AS r
        WHERE id = r ->> 0;
    END IF;
    IF _change ? 'new_lots' THEN
        INSERT INTO lots (id, account_id, kind, amount_nano, remaining_nano, priority, granted_at_us, expires_at_us)
        SELECT r ->> 0, r ->> 1, r ->> 2, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT,
            (r ->> 7)::BIGINT
        FROM jsonb_array_elements(_change -> 'new_lots') AS r;
    END IF;
    IF _change ? 'lots' THEN
        UPDATE lots SET remaining_nano = (r ->> 1)::BIGINT
        FROM jsonb_array_elements(_change -> 'lots') AS r
        WHERE id = r ->> 0;
    END IF;
    IF _change ? 'buckets' THEN
        INSERT INTO buckets (scope_id, "window", start_day, spent_nano, held_nano)
        SELECT r ->> 0, r ->> 1, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT
        FROM jsonb_array_elements(_change -> 'buckets') AS r
        ON CONFLICT (scope_id, "window", start_day) DO UPDATE SET
            spent_nano = excluded.spent_nano,
            held_nano = excluded.held_nano;
    END IF;
    IF _change ? 'throttles' THEN
        INSERT INTO throttles (scope_id, kind, level, at_us)
        SELECT r ->> 0, r ->> 1, (r ->> 2)::BIGINT, (r ->> 3)::BIGINT
        FROM jsonb_array_elements(_change -> 'throttles') AS r
        ON CONFLICT (scope_id, kind) DO UPDATE SET level = excluded.level, at_us = excluded.at_us;
    END IF;
    IF _change ? 'new_holds' THEN
        INSERT INTO holds (id, account_id, key_id, amount_nano, tokens, state, created_at_us, owner, call, observed)
        SELECT r ->> 0, r ->> 1, r ->> 2, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT, r ->> 5, (r ->> 6)::BIGINT, r ->> 7,
            r ->> 8, r ->> 9
        FROM jsonb_array_elements(_change -> 'new_holds') AS r;
    END IF;
    IF _change ? 'holds' THEN
        UPDATE holds SET amount_nano = (r ->> 1)::BIGINT, tokens = (r ->> 2)::BIGINT, state = r ->> 3,
            call = CASE WHEN r ->> 3 = 'open' THEN call END, observed = r ->> 4
        FROM jsonb_array_elements(_change -> 'holds') AS r
        WHERE id = r ->> 0;
    END IF;
    IF _change ? 'entries' THEN
        INSERT INTO entries (
            account_id, seq, kind, amount_nano, balance_after_nano, debt_after_nano, ref, at_us, draws, note
        )
        SELECT r ->> 0, (r ->> 1)::BIGINT, r ->> 2, (r ->> 3)::BIGINT, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT, r ->> 6,
            (r ->> 7)::BIGINT, r ->> 8, r ->> 9
        FROM jsonb_array_elements(_change -> 'entries') AS r;
    END IF;
    IF _change ? 'commands' THEN
        INSERT INTO commands (account_id, command_id, digest, at_us)
        SELECT r ->> 0, r ->> 1, r ->> 2, (r ->> 3)::BIGINT
        FROM jsonb_array_elements(_change -> 'commands') AS r;
    END IF;
    IF _change ? 'receipts' THEN
        INSERT INTO receipts (
            id, account_id, key_id, endpoint, model, upstream, upstream_model, stream, started_at_us, outcome, status,
            basis, usage, ended_at_us, first_byte_at_us, anomalies, charge_nano, lines, price_id, charged_nano,
            shortfall_nano, hold_nano, day
        )
        SELECT r ->> 0, r ->> 1, r ->> 2, r ->> 3, r ->> 4, r ->> 5, r ->> 6, (r ->> 7)::BOOLEAN::INT,
            (r ->> 8)::BIGINT, r ->> 9, (r ->> 10)::BIGINT, r ->> 11, r ->> 12, (r ->> 13)::BIGINT,
            (r ->> 14)::BIGINT, (r ->> 15)::BIGINT, (r ->> 16)::BIGINT, r ->> 17, r ->> 18, (r ->> 19)::BIGINT, (r ->> 20)::BIGINT, (r ->> 21)::BIGINT,
            (r ->> 22)::BIGINT
        FROM jsonb_array_elements(_change -> 'receipts') AS r;
        INSERT INTO usage_days (
            account_id, day, key_id, model, requests, input_tokens, cached_input_tokens, output_tokens, charged_nano
        )
        SELECT r ->> 0, (r ->> 1)::BIGINT, r ->> 2, r ->> 3, (r ->> 4)::BIGINT, (r ->> 5)::BIGINT, (r ->> 6)::BIGINT,
            (r ->> 7)::BIGINT, (r ->> 8)::BIGINT
        FROM jsonb_array_elements(_change -> 'usage_days') AS r
        ON CONFLICT (account_id, day, key_id, model) DO UPDATE SET
            requests = usage_days.requests + excluded.requests,
            input_tokens = usage_days.input_tokens + excluded.input_tokens,
            cached_input_tokens = usage_days.cached_input_tokens + excluded.cached_input_tokens,
            output_tokens = usage_days.output_tokens + excluded.output_tokens,
            charged_nano = usage_days.charged_nano + excluded.charged_nano;
    END IF;
END
$$;

-- Makes a month's partition of `receipts`, unless there is one, and moves the receipts there that belong to it.
CREATE FUNCTION ledger_make_month(_month DATE) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    name TEXT := to_char(_month, '"receipts_"YYYY_MM');
    first_day BIGINT := _month - DATE '1970-01-01';
    next_day BIGINT := (_month + INTERVAL '1 month')::DATE - DATE '1970-01-01';
BEGIN
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN;
    END IF;
    LOCK TABLE receipts_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE receipts INCLUDING ALL)', name);
    EXECUTE format(
        'WITH moved AS (DELETE FROM receipts_other WHERE day >= %s AND day < %s RETURNING *) '
        'INSERT INTO %I SELECT * FROM moved', first_day, next_day, name
    );
    EXECUTE format('ALTER TABLE receipts ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, first_day, next_day);
END
$$;
