-- The heartbeat topic.
-- option heartbeat.interval.ms=200
create table a (id int primary key);
-- stream
insert into a values (1);
