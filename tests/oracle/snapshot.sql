-- Rows of an initial snapshot, then a streamed one.
-- option snapshot.mode=initial
create table first (id int primary key, t text, at timestamptz(3), n numeric(12,2));
insert into first values (1, 'é', '2020-01-02 03:04:05.678+02', 1.5), (2, null, null, null), (3, '', 'infinity', 0);
create table second (a int, b text);
insert into second values (1, 'x');
create table third (id int primary key);
-- stream
insert into first values (4, 'streamed', null, null);
