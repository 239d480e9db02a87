-- Unchanged values out of line: hstore, bit strings, geometry, vectors, and arrays of these.
create extension hstore; create extension postgis;
create table t (id int primary key, n int, h hstore, v varbit, g geometry);
alter table t alter h set storage external, alter v set storage external, alter g set storage external;
-- stream
insert into t values (1, 1, hstore('k', repeat('x', 9000)), repeat('01', 40000)::varbit, (select st_makeline(array_agg(st_makepoint(i, i))) from generate_series(1, 1000) i));
update t set n = 2;
