-- A table is dropped and made again with other columns.
create table t (id int primary key, a text);
-- stream
insert into t values (1, 'a');
-- sync
drop table t;
create table t (id text primary key, b int not null);
insert into t values ('one', 1);
-- sync
drop table t;
create table t (a text);
insert into t values ('keyless');
