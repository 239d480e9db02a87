-- Columns chosen by the publication.
-- needs postgres >= 15
create table t (id int primary key, a text, hidden text, b int);
create publication oracle for table t (id, a, b);
-- stream
insert into t values (1, 'a', 'secret', 2);
update t set hidden = 'x';
update t set a = 'b';
delete from t;
