-- A table is renamed, and moved to another schema.
create schema other;
create table t (id int primary key, a text);
-- stream
insert into t values (1, 'a');
-- sync
alter table t rename to u;
insert into u values (2, 'b');
update u set a = 'c' where id = 1;
-- sync
alter table u set schema other;
delete from other.u where id = 1;
