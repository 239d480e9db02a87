-- Rows chosen by the publication.
-- needs postgres >= 15
create table t (id int primary key, total int, v text);
alter table t replica identity full;
create publication oracle for table t where (total > 0);
-- stream
insert into t values (1, 1, 'in'), (2, 0, 'out'), (3, null, 'null');
update t set total = 5 where id = 2;
update t set total = 0 where id = 1;
update t set v = 'still' where id = 2;
delete from t;
