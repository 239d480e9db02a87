-- Tables without a key, with one by configuration, with another identity: rows, then changes.
-- option snapshot.mode=initial
-- option message.key.columns=public.c:y,x
create table a (x int, y text);
create table b (x int, y text);
alter table b replica identity full;
create table c (x int not null, y text not null, z text);
alter table c replica identity full;
create table d (x int not null, y text not null, z text);
create unique index d_key on d (y, x);
alter table d replica identity using index d_key;
create table e (id int primary key, v text);
alter table e replica identity full;
insert into a values (1, 'a'), (1, 'a'), (null, null);
insert into b values (1, 'a'), (null, null);
insert into c values (1, 'a', 'z'), (2, 'b', null);
insert into d values (1, 'a', 'z'), (2, 'b', null);
insert into e values (1, 'a'), (2, 'b');
-- stream
insert into a values (2, 'b');
update b set y = 'c' where x is null;
delete from b where x = 1;
update c set y = 'c' where x = 1;
delete from c where x = 2;
update d set z = 'w' where x = 1;
update d set y = 'c' where x = 1;
delete from d where x = 2;
update e set v = 'c' where id = 1;
delete from e where id = 2;
