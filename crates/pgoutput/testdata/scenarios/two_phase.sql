-- since 15
-- What walferry never asks for: prepared transactions before they are committed.
-- options 'proto_version', '3', 'two_phase', 'on'
-- two-phase slot
CREATE TABLE t (id int PRIMARY KEY);
-- captured
BEGIN;
INSERT INTO t VALUES (1);
PREPARE TRANSACTION 'committed later';
COMMIT PREPARED 'committed later';
BEGIN;
INSERT INTO t VALUES (2);
PREPARE TRANSACTION 'rolled back later';
ROLLBACK PREPARED 'rolled back later';
