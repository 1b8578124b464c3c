-- The functions that carry out batches are others from here on: what few batches touch is loaded and written as its
-- tables are described, and comes in one argument.
COMMENT ON TABLE batch_functions IS 'The functions that carry out batches, by the version of the schema they are of.';
