-- The run that a call is billed with. Receipts of earlier calls are of none.
ALTER TABLE receipts ADD COLUMN run_id TEXT COLLATE "C" NOT NULL DEFAULT '';

-- What belongs to a run. Calls of none are not in it.
CREATE INDEX receipts_of_run ON receipts (account_id, run_id, id) WHERE run_id <> '';
