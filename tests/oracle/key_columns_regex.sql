-- Keys by configuration for tables by an expression, with schemas.
-- option message.key.columns=(.*)[.]t(.*):id,v
-- option schemas.enable=true
create table t1 (id int primary key, v text);
create table t2 (v text, id int);
alter table t1 replica identity full;
alter table t2 replica identity full;
-- stream
insert into t1 values (1, 'a');
insert into t2 values ('b', 2);
