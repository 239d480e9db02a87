-- The key changes while both are down.
create table t (id int primary key, a int not null, b text);
-- stream
insert into t values (1, 10, 'a'), (2, 20, 'b');
-- restart
delete from t where id = 1;
alter table t drop constraint t_pkey, add primary key (a);
delete from t where id = 2;
-- stream
insert into t values (3, 30, 'c');
