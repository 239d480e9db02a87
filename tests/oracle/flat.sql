-- Flat rows (ExtractNewRecordState): each operation, changes of key, truncates, logical messages.
-- option transforms=unwrap
-- option transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState
-- option skipped.operations=none
create table a (id int primary key, v text, n int not null default 5);
create table keyless (v int);
create table full_pk (id int primary key, v text);
alter table full_pk replica identity full;
-- stream
begin;
insert into a values (1, 'x', 6), (2, null, 7);
update a set v = 'y' where id = 1;
update a set id = 10 where id = 1;
delete from a where id = 2;
commit;
begin;
insert into keyless values (1);
commit;
begin;
insert into full_pk values (1, 'x');
update full_pk set v = 'y';
delete from full_pk;
commit;
begin;
truncate a;
commit;
select pg_logical_emit_message(true, 'p', 'content');
