-- Descriptions that change between and within transactions; enums, domains, composites.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (id int PRIMARY KEY, m mood, p positive, c pair, ms mood[]);
-- captured
INSERT INTO t VALUES (1, 'happy', 7, ROW(1, 'x'), '{sad,happy}');
ALTER TABLE t ADD COLUMN added text DEFAULT 'new';
INSERT INTO t VALUES (2);
BEGIN;
INSERT INTO t VALUES (3);
ALTER TABLE t DROP COLUMN m;
ALTER TABLE t RENAME COLUMN p TO renamed;
INSERT INTO t VALUES (4, 1, NULL, NULL, 'after');
COMMIT;
ALTER TABLE t ALTER COLUMN id TYPE bigint;
UPDATE t SET added = 'wide' WHERE id = 4;
ALTER TABLE t RENAME TO t_new;
DELETE FROM t_new WHERE id = 4;
