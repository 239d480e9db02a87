-- The schema beside each payload: types, names, parameters, nullability; keys of several columns, tables without one, logical messages.
-- option schemas.enable=true
-- option skipped.operations=none
create type mood as enum ('sad', 'ok', 'it''s "fine"');
create domain positive as numeric(8,3) check (value > 0);
create domain short as varchar(10);
create table everything (id int primary key, b bool not null, i2 int2, i4 int4, i8 int8 not null, o oid, r4 float4, r8 float8, ic "char", c5 char(5),
  vc varchar(10), tx text not null, u uuid, js json, jb jsonb, xm xml, tsv tsvector, ip inet, cd cidr, m macaddr, m8 macaddr8, r4r int4range,
  tsr tstzrange, en mood, enn mood not null, dn positive, ds short, ba bytea, n52 numeric(5,2), n10 numeric(10), n numeric, nn numeric not null,
  d date, ti time, ti3 time(3), tz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, tstz3 timestamptz(3), iv interval,
  ia int[], ta text[] not null, na numeric(5,2)[], nva numeric[], ea mood[], tsa timestamp[], tsza timestamptz[], da date[], ba2 bytea[], jba jsonb[],
  ua uuid[], ra int4range[]);
create table several (a text, b int, v text, primary key (b, a));
create table keyless (v int);
create table "We-ird Tbl" ("a b" int primary key, "q""uote" text, "ünï" text);
-- stream
insert into everything (id, b, i8, tx, enn, nn, ta) values (1, true, 2, 'x', 'sad', 1, '{}');
insert into several values ('x', 1, 'v');
update several set a = 'y';
delete from several;
insert into keyless values (1);
truncate keyless;
insert into "We-ird Tbl" values (1, 'x', 'é');
select pg_logical_emit_message(true, 'p"refix', 'hi');
select pg_logical_emit_message(false, '', '');
