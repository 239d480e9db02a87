-- Dates and times of every precision, before Christ, beyond 9999, and the types' ends.
create table t (id int primary key, d date, ts timestamp, ts0 timestamp(0), ts1 timestamp(1), ts4 timestamp(4), tz timestamptz, tz1 timestamptz(1), t1 time(1), t5 time(5), tt timetz, tt2 timetz(2));
-- stream
insert into t values (1, '0001-12-31 BC', '0001-12-31 23:59:59.999999 BC', '0044-03-15 BC', '0001-01-01', '1582-10-04 12:00:00.12345', '0001-12-31 BC', '0044-03-15 12:00:00.5+00 BC', '23:59:59.9', '00:00:00.00001', '00:00:00+15:59', '23:59:59.99-15:59');
insert into t values (2, '4713-11-24 BC', '1582-10-15', '1900-02-28', '2000-02-29 12:00:00.55', '10000-01-01 00:00:00.0001', '10000-01-01 00:00:00+00', '99999-12-31 23:59:59.9+00', '00:00:00', '12:34:56.78901', '12:34:56.789+02', '00:00:00+00');
insert into t values (3, '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59', '2038-01-19 03:14:08', '1969-12-31 23:59:59.9999', '1969-12-31 23:59:59.999999+00', '1970-01-01 00:00:00+00', null, null, null, null);
