-- Deletes and updates are skipped; tombstones are off.
-- option skipped.operations=u,t
-- option tombstones.on.delete=false
create table a (id int primary key, v int);
-- stream
insert into a values (1, 1);
update a set v = 2;
update a set id = 2;
delete from a;
truncate a;
