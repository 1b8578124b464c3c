-- The method by which a top-up is paid, as the configuration names it: its fee follows from it. Empty is any. The seal comes
-- behind it, as behind all that it is of.
ALTER TABLE top_ups ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE top_ups ADD COLUMN last_seal INTEGER NOT NULL DEFAULT 0;
UPDATE top_ups SET last_seal = seal;
ALTER TABLE top_ups DROP COLUMN seal;
ALTER TABLE top_ups RENAME COLUMN last_seal TO seal;
