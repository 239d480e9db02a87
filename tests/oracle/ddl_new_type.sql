-- Types are made while streaming.
create table t (id int primary key);
-- stream
insert into t values (1);
-- sync
create type mood as enum ('sad', 'ok');
create domain amount as numeric(8,2);
create table later (id int primary key, m mood, a amount, ma mood[]);
insert into later values (1, 'ok', 1.5, '{sad}');
alter table t add m mood;
insert into t values (2, 'sad');
