-- The ledger. Money is whole nano-USD, instants are microseconds and days are days since 1970-01-01 UTC.
-- The CHECKs repeat what the rules promise, so that no fault in them can be committed. Every row belongs to one account,
-- which its primary key names: so a ledger can be spread over many machines, account by account.

-- `spending` is what an account or a key has spent and holds in the windows of the latest day on which it moved, as JSON:
-- [day, [[spent, held], ...]] in the order day, week, month, total. None of its figures is below zero.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    balance_nano INTEGER NOT NULL CHECK (balance_nano >= 0),
    held_nano INTEGER NOT NULL CHECK (held_nano >= 0),
    debt_nano INTEGER NOT NULL CHECK (debt_nano >= 0),
    credit_limit_nano INTEGER NOT NULL CHECK (credit_limit_nano >= 0),
    open_holds INTEGER NOT NULL CHECK (open_holds >= 0),
    entries INTEGER NOT NULL CHECK (entries >= 0),
    next_expiry_us INTEGER NOT NULL,
    limits TEXT NOT NULL,
    spending TEXT NOT NULL CHECK (spending LIKE '[%' AND spending NOT LIKE '%-%'),
    CHECK (balance_nano - held_nano - debt_nano + credit_limit_nano >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    hint TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    expires_at_us INTEGER NOT NULL,
    models TEXT NOT NULL,
    limits TEXT NOT NULL,
    open_holds INTEGER NOT NULL CHECK (open_holds >= 0),
    spending TEXT NOT NULL CHECK (spending LIKE '[%' AND spending NOT LIKE '%-%'),
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- Leads to a key without its account: by its digest, which a caller shows, or by its id. Both are unique over all
-- accounts, and neither changes.
CREATE TABLE key_digests (
    digest TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    key_id TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE lots (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    amount_nano INTEGER NOT NULL CHECK (amount_nano > 0),
    remaining_nano INTEGER NOT NULL CHECK (remaining_nano BETWEEN 0 AND amount_nano),
    priority INTEGER NOT NULL,
    granted_at_us INTEGER NOT NULL,
    expires_at_us INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- The draw order of what is left.
CREATE INDEX lots_left ON lots (account_id, priority, expires_at_us, granted_at_us, id) WHERE remaining_nano > 0;

-- The windows that have ended. The week of 1970-01-01, where a clock may begin, starts on the Monday before.
CREATE TABLE buckets (
    account_id TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    "window" TEXT NOT NULL CHECK ("window" IN ('day', 'week', 'month')),
    start_day INTEGER NOT NULL CHECK (start_day >= -3),
    spent_nano INTEGER NOT NULL CHECK (spent_nano >= 0),
    held_nano INTEGER NOT NULL CHECK (held_nano >= 0),
    PRIMARY KEY (account_id, scope_id, "window", start_day)
) STRICT, WITHOUT ROWID;

CREATE TABLE throttles (
    account_id TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('requests', 'tokens')),
    level INTEGER NOT NULL CHECK (level >= 0),
    at_us INTEGER NOT NULL,
    PRIMARY KEY (account_id, scope_id, kind)
) STRICT, WITHOUT ROWID;

-- An open hold carries its call without the ids, as a JSON array, what was observed of it, and until when it may outlive
-- its process. Once it is closed its receipt has call and usage, and the hold stays as proof that the call was made, in a
-- row that has shrunk: one that grows may split its page, and few change while they are open. The id comes first in the
-- key, and ids grow with time: holds that are made together share a page instead of one for each account, and a call's
-- id alone leads to its account.
CREATE TABLE holds (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    amount_nano INTEGER NOT NULL CHECK (amount_nano >= 0),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'voided', 'expired')),
    created_at_us INTEGER NOT NULL,
    owner TEXT NOT NULL,
    call TEXT,
    observed TEXT,
    deadline_us INTEGER,
    PRIMARY KEY (id, account_id),
    CHECK ((state = 'open') = (call IS NOT NULL)),
    CHECK (state = 'open' OR (observed IS NULL AND deadline_us IS NULL))
) STRICT, WITHOUT ROWID;

-- One small index finds open holds by account and by owner. There are never more of them than calls in flight, so owners
-- are found by a scan of the whole index.
CREATE INDEX holds_open ON holds (account_id, owner) WHERE state = 'open';

CREATE TABLE entries (
    account_id TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'charge', 'expire', 'adjust')),
    amount_nano INTEGER NOT NULL,
    balance_after_nano INTEGER NOT NULL CHECK (balance_after_nano >= 0),
    debt_after_nano INTEGER NOT NULL CHECK (debt_after_nano >= 0),
    ref TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    draws TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (account_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries are immutable');
END;

CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries are immutable');
END;

CREATE TABLE commands (
    account_id TEXT NOT NULL,
    command_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    PRIMARY KEY (account_id, command_id)
) STRICT, WITHOUT ROWID;

-- Receipts are wide: with row ids the pages between root and leaves hold numbers only, and stay few. One index serves
-- every search: the hold leads from a call's id to its account, and the index alone shows which receipts are of one key
-- or one model. A hold's id is its call's, so each has one receipt at most.
CREATE TABLE receipts (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    upstream TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    stream INTEGER NOT NULL CHECK (stream IN (0, 1)),
    started_at_us INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER NOT NULL,
    basis TEXT NOT NULL,
    usage TEXT NOT NULL,
    ended_at_us INTEGER NOT NULL,
    first_byte_at_us INTEGER,
    anomalies INTEGER NOT NULL CHECK (anomalies >= 0),
    charge_nano INTEGER NOT NULL,
    lines TEXT NOT NULL,
    price_id TEXT NOT NULL,
    charged_nano INTEGER NOT NULL CHECK (charged_nano >= 0),
    shortfall_nano INTEGER NOT NULL CHECK (shortfall_nano >= 0),
    hold_nano INTEGER NOT NULL CHECK (hold_nano >= 0),
    day INTEGER NOT NULL,
    PRIMARY KEY (account_id, id, key_id, model),
    CHECK (charged_nano + shortfall_nano = max(charge_nano, 0))
) STRICT;

-- The sums of the receipts of one day, key and model. The day is that of the authorization, as in the buckets.
CREATE TABLE usage_days (
    account_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0),
    input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
    cached_input_tokens INTEGER NOT NULL CHECK (cached_input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    charged_nano INTEGER NOT NULL CHECK (charged_nano >= 0),
    PRIMARY KEY (account_id, day, key_id, model)
) STRICT, WITHOUT ROWID;

-- The sums of the receipts of one day over all accounts, by account, by key and by model: without them a report about all
-- accounts would read every usage day. The rows of a day lie together, so adding to today's takes few pages, whatever the
-- number of accounts and the length of the history.
CREATE TABLE usage_totals (
    "group" TEXT NOT NULL CHECK ("group" IN ('account', 'key', 'model')),
    day INTEGER NOT NULL,
    id TEXT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests >= 0),
    input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
    cached_input_tokens INTEGER NOT NULL CHECK (cached_input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    charged_nano INTEGER NOT NULL CHECK (charged_nano >= 0),
    PRIMARY KEY ("group", day, id)
) STRICT, WITHOUT ROWID;
