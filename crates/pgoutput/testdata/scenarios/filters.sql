-- since 15
-- Row filters that turn updates into inserts and deletes, and column lists.
CREATE TABLE filtered (id int PRIMARY KEY, v int, hidden text);
ALTER TABLE filtered REPLICA IDENTITY FULL;
CREATE TABLE listed (id int PRIMARY KEY, shown text, hidden text);
CREATE PUBLICATION capture FOR TABLE filtered WHERE (v > 10), listed (id, shown);
-- captured
INSERT INTO filtered VALUES (1, 5, 'h'), (2, 50, 'h');
UPDATE filtered SET v = 20 WHERE id = 1;
UPDATE filtered SET v = 1 WHERE id = 2;
INSERT INTO listed VALUES (1, 's', 'h');
UPDATE listed SET id = 2;
