-- Transaction metadata, without tombstones: several tables' rows, then transactions that change them.
-- option snapshot.mode=initial
-- option provide.transaction.metadata=true
-- option tombstones.on.delete=false
create table a (id int primary key, v text);
create table b (id int primary key);
create table c (id int primary key);
insert into a values (1), (2), (3);
insert into c values (1);
-- stream
begin;
delete from c;
update a set v = 'x' where id = 1;
delete from a where id = 2;
insert into b values (1);
commit;
delete from a where id = 3;
