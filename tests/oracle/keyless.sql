-- Tables without a key: inserts alone, and all with replica identity full.
create table a (x int, y text);
create table b (x int, y text);
alter table b replica identity full;
-- stream
insert into a values (1, 'a'), (null, null);
insert into b values (1, 'a'), (null, null);
update b set y = 'c' where x = 1;
delete from b;
