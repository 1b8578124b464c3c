-- To find what has expired, and what is old, without going through all objects.
CREATE INDEX objects_expired ON objects (expires_at_us);
CREATE INDEX objects_made ON objects (created_at_us);
