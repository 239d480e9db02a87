-- Nanoseconds, for timestamps that they can hold.
-- option time.precision.mode=nanoseconds
create table times (id int primary key, d date, t time, t3 time(3), ts timestamp, ts3 timestamp(3), ta time[], tsa timestamp(3)[]);
-- stream
insert into times values
  (1, '2016-11-04', '13:51:30.123456', '13:51:30.12', '2016-11-04 13:51:30.123456', '2016-11-04 13:51:30.12', '{13:51:30.123}', '{"2016-11-04 13:51:30.12",NULL}'),
  (2, '1969-12-31', '24:00:00', '00:00:00', '1969-12-31 23:59:59.999999', '1700-01-01 00:00:00', '{}', null),
  (3, '9999-12-31', null, null, 'infinity', '-infinity', null, null);
