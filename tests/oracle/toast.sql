-- Values stored out of line that an update leaves alone: placeholders, or the old row's values with identity FULL.
create table toasted (id int primary key, v int, t text, vc varchar, bp bpchar, j json, jb jsonb, ba bytea, n numeric, ta text[], vca varchar[], ia int4[], i8a int8[], i2a int2[], fa float8[], ua uuid[], da date[],
  tsa timestamp[], tsza timestamptz[], ba2 bytea[], ja json[], jba jsonb[], ea bool[], na numeric[]);
create table toasted_not_null (id int primary key, v int, t text not null, jb jsonb not null, ba bytea not null, ta text[] not null);
create table toasted_full (id int primary key, v int, t text);
create table toasted_key (t text primary key, v int);
do $$ declare r record; begin
  for r in select attrelid::regclass as tbl, attname from pg_attribute a join pg_class c on c.oid = a.attrelid where c.relname like 'toasted%' and c.relkind = 'r' and attnum > 0 and attlen = -1 loop
    execute format('alter table %s alter column %I set storage external', r.tbl, r.attname); end loop; end $$;
alter table toasted_full replica identity full;
-- stream
insert into toasted select 1, 1, repeat('t', 2100), repeat('v', 2100), repeat('b', 2100), to_json(repeat('j', 2100)), to_jsonb(repeat('j', 2100)), convert_to(repeat('b', 2100), 'UTF8'),
  (repeat('9', 5000))::numeric, array_fill('x'::text, array[600]), array_fill('x'::varchar, array[600]), array_fill(1, array[600]), array_fill(1::int8, array[600]), array_fill(1::int2, array[1200]),
  array_fill(1.5::float8, array[600]), array_fill('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, array[140]), array_fill('2020-01-01'::date, array[600]), array_fill('2020-01-01'::timestamp, array[600]),
  array_fill('2020-01-01'::timestamptz, array[600]), array_fill('\x00'::bytea, array[600]), array_fill('1'::json, array[600]), array_fill('1'::jsonb, array[600]), array_fill(true, array[2100]), array_fill(1.5, array[600]);
insert into toasted_not_null select 1, 1, repeat('t', 2100), to_jsonb(repeat('j', 2100)), convert_to(repeat('b', 2100), 'UTF8'), array_fill('x'::text, array[600]);
insert into toasted_full values (1, 1, repeat('t', 2100));
insert into toasted_key values (repeat('k', 2400), 1);
-- then
update toasted set v = 2;
update toasted_not_null set v = 2;
update toasted_not_null set id = 3;
update toasted_full set v = 2;
update toasted_key set v = 2;
