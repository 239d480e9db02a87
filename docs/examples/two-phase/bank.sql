-- Each bank's database. A bank refuses what it cannot cover.
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
INSERT INTO accounts SELECT id, 1000 FROM generate_series(1, 3) id;
