-- Truncate: of one table, of several, with each flag.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent);
-- captured
TRUNCATE child;
TRUNCATE parent CASCADE;
TRUNCATE parent, child RESTART IDENTITY;
TRUNCATE parent RESTART IDENTITY CASCADE;
