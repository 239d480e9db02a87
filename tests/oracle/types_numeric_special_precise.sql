-- NaN and infinities, decimal.handling.mode precise.
-- walferry envelope.event.processing.failure.handling.mode=dead-letter
-- option decimal.handling.mode=precise
-- needs postgres >= 14
create table n (id int primary key, n numeric, s numeric(10,2), a numeric[]);
-- stream
insert into n values (1, 1.5, 1.5, '{1,2.50}'), (2, 0.000, 0, '{}');
insert into n values (3, 'Infinity', null, null), (4, '-Infinity', 'NaN', null), (5, 'NaN', null, '{1.5,NULL}');
