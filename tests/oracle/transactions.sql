-- Transaction metadata: boundaries, each event's place, tables and messages counted, a message outside.
-- option provide.transaction.metadata=true
-- option skipped.operations=none
create table a (id int primary key, v text);
create table b (id int primary key, v text);
-- stream
insert into a values (1, 'x');
begin;
insert into a values (2, 'x'), (3, 'y');
insert into b values (1, 'x');
update a set id = 20 where id = 2;
delete from b;
commit;
begin;
insert into a values (4, 'z');
select pg_logical_emit_message(true, 'p', 'in');
commit;
select pg_logical_emit_message(false, 'p', 'out');
truncate a, b;
begin;
create table later (id int primary key);
commit;
