-- What an update left alone is left out of flat rows, by the header that names it (ExtractChangedRecordState).
-- option transforms=changes,unwrap
-- option transforms.changes.type=io.debezium.transforms.ExtractChangedRecordState
-- option transforms.changes.header.changed.name=changed
-- option transforms.changes.header.unchanged.name=unchanged
-- option transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState
-- option transforms.unwrap.drop.fields.header.name=unchanged
-- option transforms.unwrap.add.fields=op
-- option transforms.unwrap.add.headers=table
create table f (id int primary key, name text, "na""me" text, n int not null, tags text[], big text);
alter table f replica identity full;
alter table f alter big set storage external;
create table d (id int primary key, name text, n int);
-- stream
insert into f values (1, 'Ann', 'q', 1, '{a}', repeat('x', 3000)), (2, null, null, 2, null, null);
update f set name = 'Bob';
update f set n = n + 10, tags = '{a,b}';
update f set id = id;
update f set name = null, "na""me" = 'w' where id = 1;
update f set id = 3 where id = 2;
delete from f where id = 1;
insert into d values (1, 'Ann', 1);
update d set name = 'Bob';
update d set id = 2;
delete from d;
