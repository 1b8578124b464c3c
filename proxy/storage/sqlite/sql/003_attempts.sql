-- What came of each target that a call was sent to. Receipts of earlier calls do not say.
ALTER TABLE receipts ADD COLUMN attempts TEXT NOT NULL DEFAULT '[]';
