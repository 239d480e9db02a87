-- The primary key changes while streaming.
create table t (id int primary key, a int not null, b text);
-- stream
insert into t values (1, 10, 'a'), (2, 20, 'b');
-- sync
alter table t drop constraint t_pkey, add primary key (a);
insert into t values (3, 30, 'c');
delete from t where id = 1;
-- sync
alter table t drop constraint t_pkey, add primary key (a, id);
update t set b = 'x' where id = 2;
delete from t;
