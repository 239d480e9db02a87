-- Both stop and go on, with changes in between.
create table t (id int primary key, a text);
-- stream
insert into t values (1, 'a');
-- restart
insert into t values (2, 'b');
begin;
update t set a = 'c';
update t set id = 5 where id = 2;
commit;
-- stream
delete from t where id = 1;
-- restart
-- stream
delete from t;
