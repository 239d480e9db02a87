-- NOT NULL columns of everyday types, and of those with schemas of their own.
create table filled (id int primary key, i2 int2 not null, f4 float4 not null, b bool not null, n numeric not null, n122 numeric(12,2) not null, n10 numeric(10) not null,
  v varchar(20) not null, c char(5) not null, ic "char" not null, u uuid not null, j json not null, jb jsonb not null, ba bytea not null, ip inet not null, x xml not null,
  d date not null, ti time not null, t3 time(3) not null, tz timetz not null, ts timestamp not null, ts3 timestamp(3) not null, tstz timestamptz not null, iv interval not null,
  m money not null, bi bit(3) not null, vb varbit not null, p point not null, r int4range not null, tv tsvector not null,
  ai int[] not null, an numeric(5,2)[] not null, av text[] not null, ats timestamp[] not null);
insert into filled values (1, 1, 1.5, true, 1.50, 1, 1, 'v', 'c', 'c', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a":  1}', '{"a":  1}', '\xff00', '::1', '<a/>',
  '2020-01-02', '12:34:56.123456', '12:34:56.123', '12:00+02', '2020-01-02 03:04:05.678901', '2020-01-02 03:04:05.678', '2020-01-02 03:04:05.678901+02', '1 day 00:00:01.5',
  '1.50', '101', '1', '(1,2.5)', '[1,5)', 'a b', '{1,NULL}', '{1.5}', '{x,"a,b"}', '{"2020-01-02 03:04:05.678"}');
