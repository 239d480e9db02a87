-- One-dimensional arrays of the everyday types: NULL elements, none, quotes.
create type mood as enum ('sad', 'ok', 'a "b" c');
create table arrays (id int primary key, i2 int2[], i4 int4[], i8 int8[], f4 float4[], f8 float8[], o oid[], b bool[],
  n numeric[], n52 numeric(5,2)[], t text[], v varchar(5)[], c char(3)[], e mood[], u uuid[], j json[], jb jsonb[], ba bytea[], ip inet[], cd cidr[], m macaddr[],
  d date[], ti time[], t3 time(3)[], tz timetz[], ts timestamp[], ts3 timestamp(3)[], tstz timestamptz[], tstz3 timestamptz(3)[], iv interval[]);
-- stream
insert into arrays values
 (1, '{1,NULL,-3}', '{1,NULL,-3}', '{1,NULL,-3}', '{1.5,NULL,NaN}', '{1.5,NULL,Infinity}', '{1,4000000000}', '{t,f,NULL}', '{1.50,NULL,100}', '{1.5,NULL,-2}',
  '{a,NULL,"NULL","b c","q\"x\\y",""}', '{a,NULL}', '{a,NULL}', '{sad,ok}', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}',
  array['{"a": 1}', null]::json[], array['{"a": "x\"y"}', null]::jsonb[], array['\x00ff'::bytea, null], '{10.0.0.1,NULL}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}',
  '{2016-11-04,NULL}', '{13:51:30.123456,NULL}', '{13:51:30.123,NULL}', '{13:51:30.5+02,NULL}', '{"2016-11-04 13:51:30.123456",NULL}', '{"2016-11-04 13:51:30.123",NULL}',
  '{"2016-11-04 13:51:30.123+02",NULL}', '{"2016-11-04 13:51:30.12+02",NULL}', '{"1 day 02:00:00",NULL}'),
 (2, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
insert into arrays (id, e) values (3, '{sad,"a \"b\" c"}');
