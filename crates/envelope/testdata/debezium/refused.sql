-- Values that walferry refuses unless it is to lose what Debezium loses.
-- option time.precision.mode=nanoseconds
create table refused (id int primary key, n numeric, n52 numeric(5,2), na numeric(5,2)[], ts timestamp, v1 varbit(1));
-- stream
insert into refused (id, n, n52) values (1, 'NaN', 'NaN'), (2, 'Infinity', null), (3, '-Infinity', null);
insert into refused (id, na) values (4, '{1.50,NaN}');
insert into refused (id, ts) values (5, '9999-12-31'), (6, '0044-03-15 BC'), (7, 'infinity');
insert into refused (id, v1) values (8, '');
