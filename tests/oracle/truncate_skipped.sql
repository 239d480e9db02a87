-- Truncates are skipped unless asked for.
create table a (id int primary key);
-- stream
insert into a values (1);
truncate a;
insert into a values (1);
