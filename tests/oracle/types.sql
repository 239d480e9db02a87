-- Every everyday type, with its special values, as a nullable column, as a NOT NULL one, and absent.
create type mood as enum ('sad', 'ok', 'it''s "fine"');
create domain positive as numeric(8,3) check (value > 0);
create domain short as varchar(10);
create domain shorter as short;
create table numbers (id int primary key, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, o oid, b bool,
  n numeric, n122 numeric(12,2), n10 numeric(10,0), n4038 numeric(40,38), dn positive);
create table texts (id int primary key, t text, v varchar(20), c char(5), c1 char, ic "char", e mood, u uuid, j json, jb jsonb,
  ba bytea, ip inet, cd cidr, m macaddr, d short, d2 shorter, bp bpchar);
create table times (id int primary key, d date, t time, t0 time(0), t3 time(3), tz timetz, tz3 timetz(3),
  ts timestamp, ts0 timestamp(0), ts3 timestamp(3), tstz timestamptz, tstz3 timestamptz(3), tstz0 timestamptz(0), iv interval);
create table required (id int primary key, i2 int2 not null, i4 int4 not null, i8 int8 not null, f4 float4 not null,
  f8 float8 not null, o oid not null, b bool not null, n numeric not null, n122 numeric(12,2) not null, t text not null,
  v varchar(20) not null, c char(5) not null, e mood not null, u uuid not null, j json not null, jb jsonb not null,
  ba bytea not null, ip inet not null, cd cidr not null, m macaddr not null, d date not null, ti time not null, t0 time(0) not null, tz timetz not null,
  ts timestamp not null, ts3 timestamp(3) not null, tstz timestamptz not null, tstz3 timestamptz(3) not null, tstz0 timestamptz(0) not null,
  iv interval not null, ai int[] not null, an numeric[] not null, at text[] not null, dm positive not null, n4038 numeric(40,38) not null);
-- stream
insert into numbers values
  (1, -32768, -2147483648, -9223372036854775808, 3.3, 1.1, 0, true, 10.1111, 123.40, 42, 1.5, 1.5),
  (2, 32767, 2147483647, 9223372036854775807, 1e10, 1e21, 4294967295, false, 100.5000, -0.01, -42, -0.00000000000000000000000000000000000001, 0.001),
  (3, 0, 0, 0, 'NaN', 'NaN', 1, null, 0, 0, 0, 0, null),
  (4, null, null, null, 'Infinity', '-Infinity', null, null, -1, 9999999999.99, 9999999999, null, null),
  (5, null, null, null, 1e-3, 0.001, null, null, 1e-8, -9999999999.99, 127, null, null),
  (6, null, null, null, 9999999, 9999999, null, null, 123456789012345678901234567890123456789012345678901234567890.12, 1.28, 128, null, null),
  (7, null, null, null, 1e7, 1e7, null, null, 1e20, -1.28, -128, null, null),
  (8, null, null, null, 0.00012345, 0.00012345, null, null, 0.00, 2.56, -129, null, null),
  (9, null, null, null, '-0', '-0', null, null, 1000, 327.68, 32768, null, null),
  (10, null, null, null, 1.5e-38, 2.2250738585072014e-308, null, null, -123456789012345678.000001, 1, 1, null, null),
  (11, null, null, null, 3.4028235e38, 1.7976931348623157e308, null, null, 0.0000001, 1, 1, null, null),
  (12, null, null, null, 16777216, 123456789012345680, null, null, 0.000001234, 1, 1, null, null),
  (13, null, null, null, 100, 1e-300, null, null, 12345678.9, 1, 1, null, null),
  (14, null, null, null, 0.1, 12345678.9, null, null, 0.00000000012, 1, 1, null, null);
insert into texts values
  (1, E'a"b\\c/\b\f\n\r\t\x01\x1f\x7f', 'é漢😀', 'ab', 'x', 'y', 'it''s "fine"', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"a": 1,  "b":[null]}', '{"b": "x\"y", "a": 1.50}',
   '\x00ff10', '192.168.2.1', '10.0.0.0/8', '08:00:2b:01:02:03', 'dom', 'dom2', 'bp  '),
  (2, '', '', '', '', '', 'sad', null, '""', 'null', '', '::1/64', '::/0', null, '', '', ''),
  (3, E'\u2028\u2029<>&''\u0080', null, null, null, null, 'ok', null, '"\u00e9"', '"é"', '\xfbff', '192.168.2.0/12', null, null, null, null, null);
insert into times values
  (1, '2016-11-04', '13:51:30.123456', '13:51:30', '13:51:30.12', '13:51:30.123789+02', '13:51:30.12+02',
   '2016-11-04 13:51:30.123456', '2016-11-04 13:51:30.6', '2016-11-04 13:51:30.12', '2016-11-04 13:51:30.12+02', '2016-11-04 13:51:30.12+02', '2016-11-04 13:51:30+02', '1 year 2 mons 3 days 04:05:06.78'),
  (2, '1969-12-31', '00:00:00', '00:00:00', '00:00:00', '00:00:00+00', '00:00:00-15:59', '1969-12-31 23:59:59.999999', '1969-12-31 23:59:59', '1969-12-31 23:59:59.999',
   '1969-12-31 23:59:59.999999+00', '1969-12-31 23:59:59.999+00', '1969-12-31 23:59:59+00', '-1 year -2 days 03:00'),
  (3, '0044-03-15 BC', '24:00:00', '24:00:00', '24:00:00', '24:00:00+00', '24:00:00-02', '0044-03-15 00:00:00 BC', '0044-03-15 00:00:00 BC', '0044-03-15 00:00:00 BC',
   '0044-03-15 00:00:00+00 BC', '0001-03-15 00:00:00+00 BC', '0001-12-31 23:59:59+00 BC', '-00:00:01'),
  (4, '9999-12-31', '23:59:59.999999', '23:59:59', '23:59:59.999', '23:59:59.999999+00', '23:59:59-12:30', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999',
   '9999-12-31 23:59:59.999999+00', '9999-12-31 23:59:59.999+00', '10000-01-01 00:00:00+00', '1 mon -1 day 0.000001 s'),
  (5, '0001-01-01', '01:00:00.1', '01:00:00', '01:00:00', '01:00:00+05:30', '01:00:00.5+14', '0001-01-01 00:00:00', '0001-01-01 00:00:00', '0001-01-01 00:00:00',
   '0001-01-01 00:00:00+00', '12345-01-01 00:00:00.5+00', '12345-01-01 00:00:00+00', '2 years 5 mons'),
  (6, '5874897-12-31', null, null, null, null, null, '20000-01-01 00:00:00', '20000-01-01 00:00:00', '290000-12-31 23:59:59.999', '294276-12-31 23:59:59.999999+00', null, null, '0'),
  (7, '4713-01-01 BC', '12:00', null, null, '12:00+00', null, '4713-01-01 00:00:00 BC', null, null, '4713-01-01 00:00:00+00 BC', null, null, '-1 mon -1 day -00:00:00.000001'),
  (8, 'infinity', null, null, null, null, null, 'infinity', 'infinity', 'infinity', 'infinity', 'infinity', 'infinity', '1 mon'),
  (9, '-infinity', null, null, null, null, null, '-infinity', '-infinity', '-infinity', '-infinity', '-infinity', '-infinity', '1 day -24:00:00'),
  (10, '1970-01-01', '13:51:30.100', '12:00', '13:51:30.100', '12:30+00', '12:30:01+00', '1970-01-01 00:00:00', '1970-01-01 00:00:00', '1970-01-01 12:30:00', '1970-01-01 00:00:00+00', '1970-01-01 12:30+00', '1970-01-01 00:00+00', '100 years 11 mons 29 days 100:00:00.1'),
  (11, null, null, null, null, null, null, null, null, null, null, null, null, null),
  (12, null, null, null, null, null, null, '1500-06-15 12:00:00', null, null, '1500-06-15 12:00:00+00', null, null, '-1780 years');
insert into required values (1, 1, 1, 1, 1, 1, 1, true, 1, 1, 'x', 'x', 'x', 'ok', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{}', '{}', 'x', '::1', '::/0', '08:00:2b:01:02:03',
  '2020-01-01', '12:00', '12:00', '12:00+00', '2020-01-01', '2020-01-01', '2020-01-01', '2020-01-01', '2020-01-01', '1 day', '{1}', '{1.5}', '{x}', 2, 1);
delete from required;
