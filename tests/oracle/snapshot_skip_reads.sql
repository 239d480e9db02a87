-- Inserts are skipped, a snapshot's rows are not.
-- option snapshot.mode=initial
-- option skipped.operations=c
create table a (id int primary key);
insert into a values (1);
-- stream
insert into a values (2);
update a set id = 3 where id = 1;
