-- Numbers that are not finite, in the mode that can say them.
-- option decimal.handling.mode=double
create table specials (id int primary key, n numeric, n2 numeric(5,2), a numeric[]);
-- stream
insert into specials values (1, 'NaN', 'NaN', '{1.50,NULL,NaN}'), (2, 'Infinity', null, '{}'), (3, '-Infinity', 1, null);
