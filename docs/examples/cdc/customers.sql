-- The table that somebody else needs; run it in the source, and once more where the copy is kept.
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, note text);
