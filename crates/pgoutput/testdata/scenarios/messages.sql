-- Logical messages in and out of transactions, also of one that rolls back.
CREATE TABLE t (id int PRIMARY KEY);
-- captured
SELECT pg_logical_emit_message(false, 'heartbeat', '');
BEGIN;
INSERT INTO t VALUES (1);
SELECT pg_logical_emit_message(true, 'outbox', '{"type":"created"}');
SELECT pg_logical_emit_message(false, 'beside', '\x00ff'::bytea);
INSERT INTO t VALUES (2);
COMMIT;
BEGIN;
SELECT pg_logical_emit_message(true, 'outbox', 'rolled back');
SELECT pg_logical_emit_message(false, 'beside', 'rolled back, and sent all the same');
ROLLBACK;
SELECT pg_logical_emit_message(true, 'outbox', 'alone');
BEGIN;
INSERT INTO t VALUES (3);
SELECT pg_logical_emit_message(false, 'beside', 'ends where the commit record starts');
COMMIT;
