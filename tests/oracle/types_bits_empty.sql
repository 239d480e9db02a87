-- Empty bit strings, and arrays of bits.
create table b (id int primary key, v varbit, vn varbit not null, a bit(3)[]);
-- stream
insert into b values (1, B'', B'', '{101,NULL}'), (2, null, B'1', null);
