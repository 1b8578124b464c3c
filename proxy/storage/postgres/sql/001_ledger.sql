-- The ledger. Money is whole nano-USD, instants are microseconds and days are days since 1970-01-01 UTC.
-- The CHECKs repeat what the rules promise, so that no fault in them can be committed. Every row belongs to one account,
-- which its primary key names: so Citus can distribute by account all tables that a batch works on.
--
-- `COLLATE "C"` makes text sort by its bytes as in SQLite; pages rely on that. The fill factors leave room on a page
-- for the next version of a row, so that changing a sum touches no index.

-- `spending` is what an account or a key has spent and holds in the windows of the latest day on which it moved, as JSON:
-- [day, [[spent, held], ...]] in the order day, week, month, total. None of its figures is below zero.
CREATE TABLE accounts (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    balance_nano BIGINT NOT NULL CHECK (balance_nano >= 0),
    held_nano BIGINT NOT NULL CHECK (held_nano >= 0),
    debt_nano BIGINT NOT NULL CHECK (debt_nano >= 0),
    credit_limit_nano BIGINT NOT NULL CHECK (credit_limit_nano >= 0),
    open_holds BIGINT NOT NULL CHECK (open_holds >= 0),
    entries BIGINT NOT NULL CHECK (entries >= 0),
    next_expiry_us BIGINT NOT NULL,
    limits TEXT NOT NULL,
    spending TEXT NOT NULL CHECK (spending LIKE '[%' AND spending NOT LIKE '%-%'),
    CHECK (balance_nano - held_nano - debt_nano + credit_limit_nano >= 0)
) WITH (fillfactor = 50);

CREATE TABLE keys (
    id TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    hint TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    expires_at_us BIGINT NOT NULL,
    models TEXT NOT NULL,
    limits TEXT NOT NULL,
    open_holds BIGINT NOT NULL CHECK (open_holds >= 0),
    spending TEXT NOT NULL CHECK (spending LIKE '[%' AND spending NOT LIKE '%-%'),
    PRIMARY KEY (account_id, id)
) WITH (fillfactor = 50);

-- Leads to a key without its account: by its digest, which a caller shows, or by its id. Both are unique over all
-- accounts, and neither changes.
CREATE TABLE key_digests (
    digest TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE lots (
    id TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    amount_nano BIGINT NOT NULL CHECK (amount_nano > 0),
    remaining_nano BIGINT NOT NULL CHECK (remaining_nano BETWEEN 0 AND amount_nano),
    priority BIGINT NOT NULL,
    granted_at_us BIGINT NOT NULL,
    expires_at_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
) WITH (fillfactor = 80);

-- The draw order of what is left.
CREATE INDEX lots_left ON lots (account_id, priority, expires_at_us, granted_at_us, id) WHERE remaining_nano > 0;

-- The windows that have ended. The week of 1970-01-01, where a clock may begin, starts on the Monday before.
CREATE TABLE buckets (
    account_id TEXT COLLATE "C" NOT NULL,
    scope_id TEXT COLLATE "C" NOT NULL,
    "window" TEXT COLLATE "C" NOT NULL CHECK ("window" IN ('day', 'week', 'month')),
    start_day BIGINT NOT NULL CHECK (start_day >= -3),
    spent_nano BIGINT NOT NULL CHECK (spent_nano >= 0),
    held_nano BIGINT NOT NULL CHECK (held_nano >= 0),
    PRIMARY KEY (account_id, scope_id, "window", start_day)
) WITH (fillfactor = 50);

CREATE TABLE throttles (
    account_id TEXT COLLATE "C" NOT NULL,
    scope_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('requests', 'tokens')),
    level BIGINT NOT NULL CHECK (level >= 0),
    at_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, scope_id, kind)
) WITH (fillfactor = 50);

-- An open hold carries its call and what was observed of it, and until when it may outlive its process. Once it is
-- closed its receipt has call and usage, and the hold stays as proof that the call was made. The id comes first in the
-- key, and ids grow with time: new holds go to the end of the index, and a call's id alone leads to its account.
CREATE TABLE holds (
    id TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    amount_nano BIGINT NOT NULL CHECK (amount_nano >= 0),
    tokens BIGINT NOT NULL CHECK (tokens >= 0),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'settled', 'voided', 'expired')),
    created_at_us BIGINT NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    call TEXT,
    observed TEXT,
    deadline_us BIGINT,
    PRIMARY KEY (id, account_id),
    CHECK ((state = 'open') = (call IS NOT NULL)),
    CHECK (state = 'open' OR (observed IS NULL AND deadline_us IS NULL))
);

-- There are never more open holds than calls in flight, so owners are found by a scan of the whole index.
CREATE INDEX holds_open ON holds (account_id, owner) WHERE state = 'open';

CREATE TABLE entries (
    account_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL CHECK (seq > 0),
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'charge', 'expire', 'adjust')),
    amount_nano BIGINT NOT NULL,
    balance_after_nano BIGINT NOT NULL CHECK (balance_after_nano >= 0),
    debt_after_nano BIGINT NOT NULL CHECK (debt_after_nano >= 0),
    ref TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    draws TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (account_id, seq)
);

-- YugabyteDB and CockroachDB have triggers like these; Citus wants them created on every shard, or left out.
CREATE FUNCTION entries_are_immutable() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries are immutable' USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER entries_never_change BEFORE UPDATE OR DELETE ON entries
FOR EACH ROW EXECUTE FUNCTION entries_are_immutable();

-- TRUNCATE fires no trigger for each row.
CREATE TRIGGER entries_never_go BEFORE TRUNCATE ON entries
FOR EACH STATEMENT EXECUTE FUNCTION entries_are_immutable();

CREATE TABLE commands (
    account_id TEXT COLLATE "C" NOT NULL,
    command_id TEXT COLLATE "C" NOT NULL,
    digest TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    seq BIGINT NOT NULL CHECK (seq > 0),
    PRIMARY KEY (account_id, command_id)
);

-- Receipts, in a partition for each month of authorization, so that those of an old month can go in an instant.
-- A partition's key must have the day in it; it comes last, so that pages of an account still go by the key. The index
-- alone shows which receipts are of one key or one model.
-- CockroachDB has no partitions of this kind: there the table is a plain one, and old months are deleted by row.
CREATE TABLE receipts (
    id TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    upstream TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    stream BIGINT NOT NULL CHECK (stream IN (0, 1)),
    started_at_us BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    status BIGINT NOT NULL,
    basis TEXT NOT NULL,
    usage TEXT NOT NULL,
    ended_at_us BIGINT NOT NULL,
    first_byte_at_us BIGINT,
    anomalies BIGINT NOT NULL CHECK (anomalies >= 0),
    charge_nano BIGINT NOT NULL,
    lines TEXT NOT NULL,
    price_id TEXT NOT NULL,
    charged_nano BIGINT NOT NULL CHECK (charged_nano >= 0),
    shortfall_nano BIGINT NOT NULL CHECK (shortfall_nano >= 0),
    hold_nano BIGINT NOT NULL CHECK (hold_nano >= 0),
    day BIGINT NOT NULL,
    PRIMARY KEY (account_id, id, day) INCLUDE (key_id, model),
    CHECK (charged_nano + shortfall_nano = greatest(charge_nano, 0))
) PARTITION BY RANGE (day);

-- Takes what no month's partition does: a month that was not prepared, or a clock that is far off, fails no call.
CREATE TABLE receipts_other PARTITION OF receipts DEFAULT;

-- The sums of the receipts of one day, key and model. The day is that of the authorization, as in the buckets.
CREATE TABLE usage_days (
    account_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL CHECK (requests >= 0),
    input_tokens BIGINT NOT NULL CHECK (input_tokens >= 0),
    cached_input_tokens BIGINT NOT NULL CHECK (cached_input_tokens >= 0),
    output_tokens BIGINT NOT NULL CHECK (output_tokens >= 0),
    charged_nano BIGINT NOT NULL CHECK (charged_nano >= 0),
    PRIMARY KEY (account_id, day, key_id, model)
) WITH (fillfactor = 50);

-- For the usage of all accounts. A row enters it once, with the first call of its day, key and model.
CREATE INDEX usage_days_of_all ON usage_days (day);

-- The processes, under names that are never used again. Each keeps its `life_file` locked, which processes on the same
-- machine check; the others go by the lease. A process without a row, or with one that is gone, has no call in flight.
-- Since `in_touch_since` a process has always extended its lease in time, so it can judge who else has not. `batches`
-- counts the batches that each has committed, which shows after a broken connection whether the last one was. Every
-- batch of a process locks its row, so that it cannot be found gone between a batch's beginning and its end.
CREATE TABLE owners (
    name TEXT COLLATE "C" PRIMARY KEY,
    life_file TEXT NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    in_touch_since TIMESTAMPTZ NOT NULL,
    gone BOOLEAN NOT NULL DEFAULT FALSE,
    batches BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE SEQUENCE owner_numbers;

-- The first day whose receipts are complete; earlier ones may have been deleted. No row: none ever were.
CREATE TABLE retention (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    receipts_since_day BIGINT NOT NULL
);

-- The functions that carry out batches, by the version of the schema that they belong to. A process calls those of its
-- own version. The digest is that of their text.
CREATE TABLE batch_functions (
    version BIGINT PRIMARY KEY,
    sha256 TEXT NOT NULL
);

-- Makes a month's partition of `receipts`, unless there is one, and moves the month's receipts into it.
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
