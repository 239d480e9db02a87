-- Tables are made while streaming.
create table t (id int primary key);
-- stream
insert into t values (1);
create table later (id int primary key, n numeric(5,2) default 1.5, v varchar(5));
insert into later values (1, 2.5, 'v');
begin;
create table within (id int primary key, at date);
insert into within values (1, '2020-01-01');
insert into t values (2);
commit;
