-- What calls cost beyond their holds and all funds, where that is not forgiven: on an account what the next grants repay,
-- and on a receipt the part of its charge. Nothing was owed in this way before.
ALTER TABLE accounts ADD COLUMN owed_nano BIGINT NOT NULL DEFAULT 0 CHECK (owed_nano >= 0);
ALTER TABLE receipts ADD COLUMN owed_nano BIGINT NOT NULL DEFAULT 0 CHECK (owed_nano >= 0 AND owed_nano <= charged_nano);
