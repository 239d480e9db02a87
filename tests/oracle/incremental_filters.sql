-- Rows that are asked for while streaming: columns left out, masked and cut, a key by configuration, a partitioned table's leaves, an expression for several tables.
-- option snapshot.max.threads=1
-- option signal.data.collection=public.signals
-- option table.include.list=app[.].*,public[.](signals|p_.)
-- option column.exclude.list=.*[.]secret
-- option column.mask.with.5.chars=app[.]users[.]name
-- option column.truncate.to.2.chars=app[.]lines[.]name
-- option message.key.columns=app.lines:n
-- debezium message.prefix.exclude.list=walferry[.].*
create table signals (id varchar(42) primary key, type varchar(32) not null, data varchar(2048));
create schema app;
create table app.users (id int primary key, name text, secret text);
create table app.lines (id int primary key, n int not null, name varchar(20));
alter table app.lines replica identity full;
create table p (id int primary key, v text) partition by range (id);
create table p_a partition of p for values from (0) to (10);
create table p_b partition of p for values from (10) to (20);
insert into app.users values (1, 'Ada Lovelace', 's3cret'), (2, null, 'xyz');
insert into app.lines values (1, 7, 'line'), (2, 8, 'é漢字'), (3, 9, null);
insert into p values (1, 'a'), (11, 'b');
-- stream
insert into signals values ('one', 'execute-snapshot', '{"data-collections": ["app[.].*", "public[.]p_."]}');
-- incremental 7
update app.users set name = 'Ada' where id = 1;
delete from app.lines where id = 2;
