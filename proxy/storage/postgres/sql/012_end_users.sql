-- What callers wrote beside their requests for themselves: a JSON object of texts. Receipts of earlier calls do not say.
ALTER TABLE receipts ADD COLUMN metadata TEXT NOT NULL DEFAULT '';

-- What is indexed sorts by its bytes.
ALTER TABLE receipts ALTER COLUMN end_user TYPE TEXT COLLATE "C";

-- What was done for one end user. Calls for nobody in particular are not in it.
CREATE INDEX receipts_of_end_user ON receipts (account_id, end_user, id) WHERE end_user <> '';
