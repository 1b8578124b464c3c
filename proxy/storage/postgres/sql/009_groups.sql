-- The group that an account is in, empty for none; the configuration says what that is.
ALTER TABLE accounts ADD COLUMN "group" TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX accounts_of_group ON accounts ("group", id) WHERE "group" <> '';
