-- Unchanged values out of line with the old row whole: before and after hold them.
create table t (id int primary key, v int, t text, b bytea, j jsonb, a text[], n text not null);
alter table t replica identity full;
alter table t alter t set storage external, alter b set storage external, alter a set storage external, alter n set storage external;
-- stream
insert into t select 1, 1, repeat('t', 2100), convert_to(repeat('b', 2100), 'UTF8'), to_jsonb(repeat('j', 9000)), array_fill('x'::text, array[600]), repeat('n', 2100);
update t set v = 2;
update t set id = 2;
update t set t = 'short';
delete from t;
