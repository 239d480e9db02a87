-- Values stored out of line: whole in the rows, and where an update leaves them alone, placeholders.
-- option snapshot.mode=initial
create table t (id int primary key, v int, e text, x text, j jsonb, ba bytea, ta text[], n numeric);
create table f (id int primary key, v int, t text);
alter table t alter e set storage external;
alter table f alter t set storage external;
alter table f replica identity full;
insert into t select g, g, repeat('e', 3000), string_agg(md5(i::text), ''), to_jsonb(string_agg(md5(i::text), '')), convert_to(string_agg(md5(i::text), ''), 'UTF8'),
  array_agg(md5(i::text)), string_agg(i::text, '')::numeric from generate_series(1, 3) g, generate_series(1, 300) i group by g;
insert into f values (1, 1, repeat('t', 3000));
-- stream
update t set v = 5 where id = 1;
update t set e = 'short', x = null where id = 2;
delete from t where id = 3;
update f set v = 2;
delete from f;
