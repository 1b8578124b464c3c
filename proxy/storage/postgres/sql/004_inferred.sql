-- Which figures of a usage the upstream did not give itself, and how each was found. Earlier receipts do not say.
ALTER TABLE receipts ADD COLUMN inferred TEXT NOT NULL DEFAULT '{}';
