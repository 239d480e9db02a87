-- The service's database: what is true. `transfers` counts what touched an account.
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, transfers bigint NOT NULL DEFAULT 0);
INSERT INTO accounts SELECT id, 1000 FROM generate_series(1, 10) id;

-- What the service connects as. `walferry outbox init --role service` lets it emit events.
CREATE ROLE service LOGIN;
GRANT SELECT, UPDATE ON accounts TO service;
