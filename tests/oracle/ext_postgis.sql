-- PostGIS: geometry and geography, with and without a reference system.
-- needs extension postgis
create extension postgis;
create table g (id int primary key, g geometry, p geometry(point, 4326), gg geography, gn geometry not null);
-- stream
insert into g values (1, 'POINT(1 2)', 'SRID=4326;POINT(1.5 -2.5)', 'POINT(3 4)', 'LINESTRING(0 0, 1 1)'), (2, null, null, null, 'POINT EMPTY');
delete from g where id = 1;
