-- Rows that are asked for while streaming: a table that was changed before, one of many chunks, one of a condition; then changes of them.
-- debezium message.prefix.exclude.list=walferry[.].*
-- option snapshot.max.threads=1
-- option signal.data.collection=public.signals
-- option incremental.snapshot.chunk.size=2
create table signals (id varchar(42) primary key, type varchar(32) not null, data varchar(2048));
create table a (id int primary key, v text, n numeric(8,2));
create table b (id int primary key, v text not null);
insert into a select g, 'v' || g, g / 4.0 from generate_series(1, 5) g;
insert into b select g, 'b' || g from generate_series(1, 4) g;
-- stream
update a set v = 'before' where id = 1;
-- sync
insert into signals values ('one', 'execute-snapshot', '{"type": "incremental", "data-collections": ["public.a"]}');
-- incremental 5
insert into signals values ('two', 'execute-snapshot', '{"type": "incremental", "data-collections": ["public.b"], "additional-conditions": [{"data-collection": "public.b", "filter": "id > 2"}]}');
-- incremental 7
update a set v = 'behind' where id < 3;
delete from b where id = 4;
insert into b values (9, 'new');
