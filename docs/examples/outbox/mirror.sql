-- The other side's database: what it has been told. It starts where the accounts start.
CREATE TABLE mirror (id int PRIMARY KEY, balance bigint NOT NULL, transfers bigint NOT NULL DEFAULT 0);
INSERT INTO mirror SELECT id, 1000 FROM generate_series(1, 10) id;
