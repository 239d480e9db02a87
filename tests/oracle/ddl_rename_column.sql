-- Columns are renamed, of the key, too.
create table t (id int primary key, a text);
-- stream
insert into t values (1, 'a');
-- sync
alter table t rename a to b;
insert into t values (2, 'b');
-- sync
alter table t rename id to key;
insert into t values (3, 'c');
update t set key = 4 where key = 3;
delete from t where key = 1;
