-- Everyday types, their extremes, NULLs, a transaction of several rows, one rolled back.
CREATE TABLE everyday (
    id int PRIMARY KEY, small int2, big int8, real4 float4, real8 float8, exact numeric(38, 10),
    free numeric, flag bool, words text, short varchar(20), fixed char(5), bytes bytea, uid uuid,
    j json, jb jsonb, d date, t time, ttz timetz, ts timestamp, tstz timestamptz, span interval,
    addr inet, ints int[], texts text[]
);
-- captured
INSERT INTO everyday VALUES (
    1, -32768, 9223372036854775807, 'NaN', '-Infinity', 1234567890.0123456789, 'Infinity', true,
    E'tab\t newline\n quote" back\\slash ☃ 😀', 'varchar', 'ab', '\x00ff5c', '00000000-0000-4000-8000-000000000001',
    '{"a": 1, "a": 2}', '{"b": [1, null]}', '0044-03-15 BC', '23:59:59.999999', '00:00:00+15:59',
    'infinity', '1999-12-31 23:59:59.5+00', '1 mon -2 days +03:04:05.678', '::1/64',
    '{1,NULL,3}', '{"a b","",NULL,"NULL"}');
INSERT INTO everyday (id) VALUES (2);
BEGIN;
INSERT INTO everyday (id, words) VALUES (3, ''), (4, 'four');
UPDATE everyday SET words = 'three' WHERE id = 3;
DELETE FROM everyday WHERE id = 4;
COMMIT;
BEGIN;
INSERT INTO everyday (id) VALUES (99);
ROLLBACK;
BEGIN;
INSERT INTO everyday (id) VALUES (5);
SAVEPOINT s;
INSERT INTO everyday (id) VALUES (98);
ROLLBACK TO s;
INSERT INTO everyday (id) VALUES (6);
COMMIT;
