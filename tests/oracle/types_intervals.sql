-- Intervals in microseconds.
create table i (id int primary key, i interval, n interval not null, y interval year to month, d interval day to second(0));
-- stream
insert into i values (1, '1 year 2 mons 3 days 04:05:06.78', '-1 year -2 days 03:00', '1-2', '3 04:05:06'), (2, null, '0', null, null), (3, '-00:00:00.000001', '178000 years', '-1 mon', '-1 day'), (4, '1 mon -1 day 0.5 s', '100000000 hours', null, null);
delete from i where id = 1;
