-- A table with waiting changes is dropped while both are down.
create table t (id int primary key, a text);
create table kept (id int primary key);
-- stream
insert into t values (1, 'a');
-- restart
insert into t values (2, 'b');
delete from t where id = 1;
drop table t;
insert into kept values (1);
-- stream
insert into kept values (2);
