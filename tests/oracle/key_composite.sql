-- Keys of several columns, in another order than the table's, of many types.
create table k (a int, b text, c uuid, d timestamptz, e date, v text, primary key (c, b, a));
create table m (a numeric(10,2), b bool, c bytea, d date, e timestamp(3), f char(4), g bigint, primary key (a, b, c, d, e, f, g));
-- stream
insert into k values (1, 'b', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2020-01-01 00:00+00', '2020-01-01', 'v');
update k set v = 'w';
update k set b = 'c';
delete from k;
insert into m values (1.5, true, '\x01ff', '2020-01-02', '2020-01-02 03:04:05.678', 'ab', 5);
update m set g = 6;
delete from m;
