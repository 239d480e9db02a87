-- Columns are dropped, and one comes back under the same name with another type.
create table t (id int primary key, a text, b int, c date);
-- stream
insert into t values (1, 'a', 1, '2020-01-01');
-- sync
alter table t drop b;
insert into t values (2, 'b', '2020-01-02');
update t set a = 'c' where id = 1;
-- sync
alter table t add b text;
insert into t values (3, 'd', null, 'text');
delete from t where id = 1;
