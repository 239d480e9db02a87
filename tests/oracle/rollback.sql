-- What was rolled back is not told, savepoints neither.
create table t (id int primary key);
-- stream
begin;
insert into t values (1);
rollback;
begin;
insert into t values (2);
savepoint s;
insert into t values (3);
rollback to s;
insert into t values (4);
release s;
commit;
