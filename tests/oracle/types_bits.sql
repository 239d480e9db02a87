-- Bit strings: one bit, many, none, all zero.
create table b (id int primary key, b1 bit, b3 bit(3), b8 bit(8), b9 bit(9), b70 bit(70), v1 varbit(1), v12 varbit(12), v varbit, bn bit(4) not null, vn varbit(5) not null);
-- stream
insert into b values (1, B'1', B'101', B'10000000', B'100000001', repeat('10', 35)::bit(70), B'1', B'110000000001', B'1', B'0001', B'10');
insert into b values (2, B'0', B'000', B'00000000', B'000000000', repeat('0', 70)::bit(70), B'0', B'000000000000', B'0000000000000000', B'0000', B'00000');
insert into b (id, bn, vn) values (3, B'1111', B'1');
delete from b where id = 3;
