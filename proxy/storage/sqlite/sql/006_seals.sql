-- Digests over what never changes: of a receipt with its hold, and of a key with the day of its account. Earlier rows
-- have none, and neither have those that a process of an earlier version writes.
ALTER TABLE receipts ADD COLUMN seal INTEGER;
ALTER TABLE key_digests ADD COLUMN seal INTEGER;
