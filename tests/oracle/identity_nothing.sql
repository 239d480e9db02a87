-- Replica identity nothing: only inserts may be.
create table t (id int primary key, u int not null unique, v text, n numeric(10,2));
alter table t replica identity nothing;
-- stream
insert into t values (1, 10, 'a', 1.5), (2, 20, 'b', 2);
truncate t;
insert into t values (3, 10, null, null);
