-- Old tuples under each replica identity; key changes; values out of line that did not change.
CREATE TABLE by_key (id int, part int, v text, PRIMARY KEY (part, id));
CREATE TABLE by_full (id int PRIMARY KEY, v text, w text);
CREATE TABLE by_index (id int PRIMARY KEY, code text NOT NULL, v text);
CREATE UNIQUE INDEX by_index_code ON by_index (code);
CREATE TABLE by_nothing (id int PRIMARY KEY, v text);
CREATE TABLE keyless (v text);
ALTER TABLE by_full REPLICA IDENTITY FULL;
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
ALTER TABLE by_key ALTER v SET STORAGE EXTERNAL;
ALTER TABLE by_full ALTER v SET STORAGE EXTERNAL;
-- captured
INSERT INTO by_key VALUES (1, 10, repeat('k', 2100));
UPDATE by_key SET id = 2;
UPDATE by_key SET v = 'small';
DELETE FROM by_key;
INSERT INTO by_full VALUES (1, repeat('f', 2100), 'w');
UPDATE by_full SET w = NULL;
DELETE FROM by_full;
INSERT INTO by_index VALUES (1, 'a', 'v');
UPDATE by_index SET v = 'v2';
UPDATE by_index SET code = 'b';
DELETE FROM by_index;
INSERT INTO by_nothing VALUES (1, 'n');
INSERT INTO keyless VALUES ('x');
