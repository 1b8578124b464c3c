-- Whether a key may decide about its account's money. Empty is what follows from its limits: keys that have been there
-- go on as before, but for those that are limited themselves, which may open no top-ups any more.
ALTER TABLE keys ADD COLUMN billing TEXT NOT NULL DEFAULT '' CHECK (billing IN ('', 'manage', 'read'));
