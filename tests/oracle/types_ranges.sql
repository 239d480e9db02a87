-- Ranges: bounds, empty, unbounded, infinite; arrays of them.
create table r (id int primary key, i4 int4range, i8 int8range, n numrange, ts tsrange, tz tstzrange, d daterange, nn int4range not null, a int4range[]);
-- stream
insert into r values
  (1, '[1,5]', '(1,5)', '(1.50,2.5]', '[2020-01-01 00:00,2020-01-02 03:04:05.678901)', '[2020-01-01 00:00+02,)', '[2020-01-01,2020-01-31]', 'empty', '{"[1,2)",NULL}'),
  (2, 'empty', '(,)', '[,]', '(,infinity]', '[-infinity,infinity]', '[,infinity)', '(,3]', '{}'),
  (3, null, null, null, null, null, null, '[3,3]', null);
delete from r where id = 1;
