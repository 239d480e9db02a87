-- Inserts, updates, key changes and deletes, replica identity default.
create table t (id int primary key, u int not null unique, v text, n numeric(10,2));
-- stream
insert into t values (1, 10, 'a', 1.5), (2, 20, 'b', 2);
update t set v = 'c' where id = 1;
update t set v = v where id = 2;
update t set id = 3 where id = 2;
update t set u = 30 where id = 3;
delete from t where id = 1;
delete from t;
