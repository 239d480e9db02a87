-- Transactions that came from another server.
CREATE TABLE t (id int PRIMARY KEY);
SELECT pg_replication_origin_create('from_elsewhere');
-- captured
SELECT pg_replication_origin_session_setup('from_elsewhere');
BEGIN;
SELECT pg_replication_origin_xact_setup('AA/BBCC', '2026-01-02 03:04:05.678901+00');
INSERT INTO t VALUES (1);
COMMIT;
SELECT pg_replication_origin_session_reset();
INSERT INTO t VALUES (2);
SELECT pg_replication_origin_drop('from_elsewhere');
