-- How a key change counts, and a skipped operation.
-- option provide.transaction.metadata=true
-- option skipped.operations=c,t
create table a (id int primary key, v text);
-- stream
begin;
insert into a values (1, 'x'), (2, 'y');
update a set id = 3 where id = 1;
delete from a where id = 2;
commit;
begin;
insert into a values (7, 'z');
truncate a;
commit;
