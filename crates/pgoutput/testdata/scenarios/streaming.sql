-- What walferry never asks for: an open transaction, streamed. The first message is refused.
-- options 'proto_version', '2', 'streaming', 'on'
CREATE TABLE t (id int PRIMARY KEY, v text);
-- captured
BEGIN;
INSERT INTO t SELECT i, repeat('x', 10) FROM generate_series(1, 700) i;
SAVEPOINT s;
INSERT INTO t SELECT i, repeat('y', 10) FROM generate_series(701, 1400) i;
ROLLBACK TO s;
COMMIT;
BEGIN;
INSERT INTO t SELECT i, repeat('z', 10) FROM generate_series(2001, 2700) i;
ROLLBACK;
-- only SEcA
