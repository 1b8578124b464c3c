-- Whom the account made a call for, in its own words. Receipts of earlier calls do not say.
ALTER TABLE receipts ADD COLUMN end_user TEXT NOT NULL DEFAULT '';
