-- The consumer's own table: the effect of an event is that its amount is added, once.
CREATE TABLE balance (account int PRIMARY KEY, amount bigint NOT NULL, events bigint NOT NULL);
