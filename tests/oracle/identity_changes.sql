-- The replica identity changes while streaming.
create table t (id int primary key, v text);
-- stream
insert into t values (1, 'a'), (2, 'b');
update t set v = 'x' where id = 1;
-- sync
alter table t replica identity full;
update t set v = 'y' where id = 1;
delete from t where id = 1;
-- sync
alter table t replica identity default;
update t set v = 'z' where id = 2;
delete from t;
