-- Flat rows with fields and headers: rows that are there, then changes and deletes of them.
-- option snapshot.mode=initial
-- option transforms=unwrap
-- option transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState
-- option transforms.unwrap.delete.tombstone.handling.mode=rewrite
-- option transforms.unwrap.add.fields=op,table,source.snapshot,source.txId,source.lsn,source.sequence,source.ts_ms
-- option transforms.unwrap.add.headers=op,source.snapshot
create table a (id int primary key, t text not null, n numeric(8,2));
create table b (x int, y text);
create table c (id int primary key);
insert into a values (1, 'x', 1.5), (2, 'y', null);
insert into b values (1, 'x');
insert into c values (1);
-- stream
update a set t = 'z' where id = 1;
update a set id = 3 where id = 1;
delete from a where id = 2;
delete from c;
