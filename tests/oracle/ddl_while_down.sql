-- Columns are added and tables made while both are down.
create table t (id int primary key, a text);
-- stream
insert into t values (1, 'a');
-- restart
insert into t values (2, 'b');
alter table t add b int default 5;
insert into t values (3, 'c', 3);
create table later (id int primary key, v text);
insert into later values (1, 'x');
-- stream
insert into t values (4, 'd', 4);
delete from t where id = 1;
