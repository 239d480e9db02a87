-- The heartbeat topic with schemas.
-- option heartbeat.interval.ms=200
-- option schemas.enable=true
create table a (id int primary key);
-- stream
insert into a values (1);
