-- Special elements of arrays, and values that Debezium loses where they stand.
create extension isn;
create type mood as enum ('sad', 'ok');
create table elements (id int primary key, i int[], t text[], n numeric(5,2)[], e mood[], d date[], ts timestamp[], tstz timestamptz[], ti time[], f float8[]);
create table lost (id int primary key, nm name, v1 varbit(1), v varbit, ba1 bit(1)[], ba3 bit(3)[], tva tsvector[], i13 isbn13, e13 ean13, u upc,
  va varbit[], ma money[], pa point[], nma name[], xa xml[], iva interval[], z int);
create table many (id int primary key, i int[], n numeric[], d date[], b bool[], ts timestamp[]);
-- stream
insert into elements (id, i, t) values (1, '[2:3]={1,2}', '[0:0]={x}');
insert into elements (id, e) values (2, '{sad,NULL}');
insert into elements (id, d) values (4, '{infinity,-infinity}'), (5, '{"0044-03-15 BC","10000-01-01"}');
insert into elements (id, ts) values (6, '{infinity,-infinity}'), (7, '{"0044-03-15 00:00:00 BC","10000-01-01 00:00:00.5"}');
insert into elements (id, tstz) values (8, '{infinity,-infinity}'), (9, '{"0044-03-15 00:00:00+00 BC","10000-01-01 00:00:00.5+00"}');
insert into elements (id, ti) values (10, '{24:00:00,23:59:59.999999,00:00}');
insert into elements (id, f) values (11, '{NaN,Infinity,-Infinity}');
insert into lost values (1, 'a name', '1', '', '{1,0}', '{101,NULL}', '{a,NULL}', '978-0-393-04002-9', '220-356-483-0498', '0-12345-67890-5',
  '{1,11}', '{$1.00,NULL}', '{"(1,2)"}', '{n}', '{<a/>}', '{1 day}', 1);
insert into many values (1, '{{1,2},{3,4}}', '{{1.5,2}}', '{{2016-11-04,2016-11-05}}', '{{t,f}}', '{{{"2016-11-04 13:51:30"}}}');
