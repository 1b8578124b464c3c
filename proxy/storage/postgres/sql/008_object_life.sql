-- To find what has expired, and what is old, without going through all objects.
CREATE INDEX objects_expired ON objects (expires_at_us);
CREATE INDEX objects_made ON objects (created_at_us);

-- Digests over what never changes in an object, and over all of the hold of a job. Earlier rows have none, and neither
-- have those that a process of an earlier version writes.
ALTER TABLE objects ADD COLUMN seal BIGINT;
ALTER TABLE holds ADD COLUMN seal BIGINT;
