-- The coordinator's own database: what is in here is committed, whoever dies.
CREATE TABLE decision (transfer uuid PRIMARY KEY, decided_at timestamptz NOT NULL DEFAULT now());
