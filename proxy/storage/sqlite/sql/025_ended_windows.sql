-- Which windows have ended long ago, so that what was spent and counted in them can go. What counts for ever does not.
CREATE INDEX buckets_ended ON buckets (start_day, account_id);

CREATE INDEX counters_ended ON counters (start_day, account_id) WHERE "window" <> 'total';
