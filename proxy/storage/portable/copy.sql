-- Whole tables for a copy: all columns in the order of the schema, and rows in the order of the primary key, so that the
-- other database is filled from front to back. Every other table's query is made of what the table says. Portable.

-- name: copy_keys
-- Every key.
SELECT {keys.columns}
FROM keys
ORDER BY account_id, id;

-- name: copy_lots
-- Every lot.
SELECT {lots.columns}
FROM lots
ORDER BY account_id, id;

-- name: copy_holds
-- Every hold.
SELECT {holds.columns}
FROM holds
ORDER BY id;

-- name: copy_receipts
-- Every receipt, in no order: rows that were written together lie together, and no index has to be followed.
SELECT {receipts.columns}
FROM receipts;

-- name: copy_open_holds
-- How many holds are open.
SELECT COUNT(*)
FROM holds
WHERE state = 'open';
