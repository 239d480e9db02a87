-- Rows of COPY TO STDOUT in text format, one a message.
CREATE TABLE t (id int, v text, w text);
INSERT INTO t VALUES (1, NULL, ''), (2, E'\b\f\n\r\t\v\\', '\N'), (3, E'\\N', E'\\.'),
    (4, '☃ 😀', E'\x01\x7f'), (NULL, NULL, NULL);
-- copy
SELECT id, v, w, '{"a\\b"}'::text[], '\x5c00'::bytea FROM t ORDER BY id
