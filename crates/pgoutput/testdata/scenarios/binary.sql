-- Cells in binary format.
-- options 'binary', 'true'
CREATE TABLE t (id int PRIMARY KEY, b bool, n numeric, x text, d date, a int[]);
-- captured
INSERT INTO t VALUES (1, true, 12.34, 'text', '2026-01-02', '{1,2}');
INSERT INTO t VALUES (2);
UPDATE t SET id = 3 WHERE id = 2;
