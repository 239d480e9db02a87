-- PostGIS: points, others, with and without SRID, Z and M, empty ones, geography, arrays, NOT NULL.
-- option schemas.enable=true
create extension postgis;
create table places (id int primary key, g geometry, p geometry(Point, 4326), z geometry, gg geography, n geometry not null, nn geography not null, ga geometry[]);
-- stream
begin;
insert into places values (1, 'POINT(1 2.5)', 'SRID=4326;POINT(1 2)', 'POINT ZM (1 2 3 4)', 'POINT(1 2)', 'POLYGON((0 0,1 0,1 1,0 0))', 'LINESTRING(0 0,1 1)', array['POINT(1 2)', null]::geometry[]);
insert into places values (2, 'POINT EMPTY', null, 'SRID=3187;GEOMETRYCOLLECTION(POINT(1 2))', null, 'LINESTRING EMPTY', 'POINT(0 0)', null);
delete from places where id = 1;
commit;
