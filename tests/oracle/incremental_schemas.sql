-- Rows of many types that are asked for while streaming, with schemas; keys of several columns, a condition, a key by a unique index.
-- option schemas.enable=true
-- option snapshot.max.threads=1
-- option signal.data.collection=public.signals
-- debezium message.prefix.exclude.list=walferry[.].*
create table signals (id varchar(42) primary key, type varchar(32) not null, data varchar(2048));
-- rows types.sql
-- rows snapshot_types_required.sql
create table several (a text, b int, v text, primary key (b, a));
insert into several values ('x', 1, 'v'), ('y', 1, null), ('x', 2, 'w');
create table surrogate (id int not null, v text, primary key (id));
create unique index surrogate_v on surrogate (id);
insert into surrogate values (2, 'a'), (1, 'b');
-- stream
insert into signals values ('one', 'execute-snapshot', '{"type": "incremental", "data-collections": ["public.numbers", "public.texts", "public.times", "public.filled", "public.several"]}');
-- incremental 33
insert into signals values ('two', 'execute-snapshot', '{"data-collections": ["public.surrogate"], "surrogate-key": "id"}');
-- incremental 35
