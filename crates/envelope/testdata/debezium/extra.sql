-- Bit strings, money, points, and the types of contrib's extensions: scalars, special values, arrays, NOT NULL, defaults.
-- option schemas.enable=true
create extension hstore; create extension citext; create extension ltree; create extension isn;
create table bits (id int primary key, b bit, b1 bit(1), b3 bit(3), b9 bit(9), b16 bit(16), v varbit, v1 varbit(1), v12 varbit(12),
  nb bit not null default B'1', nb3 bit(3) not null default B'101', nv varbit not null default B'11', n1 bit(3) not null);
create table moneys (id int primary key, m money, n money not null default 1.5);
create table points (id int primary key, p point, n point not null default '(1,2)');
create table extensions (id int primary key, h hstore, hn hstore not null default 'a=>1', c citext not null default 'X', l ltree, i isbn,
  ha hstore[], ca citext[]);
-- stream
begin;
insert into bits (id, b, b1, b3, b9, b16, v, v1, v12, n1) values (1, '1', '1', '101', '100000001', '0000000000000001', '110000000001', '1', '110000000001', '001');
insert into bits (id, b, b1, b3, b9, b16, v, v1, v12, n1) values (2, '0', '0', '000', '000000000', '1000000000000000', '', '', '', '000');
insert into bits (id, v, n1) values (3, repeat('01', 100)::varbit, '111');
update bits set id = 4 where id = 3;
delete from bits where id = 4;
commit;
begin;
insert into moneys values (1, 1234.11, -5.05), (2, 0, '92233720368547758.07'), (3, null, '-92233720368547758.08');
delete from moneys where id = 1;
commit;
begin;
insert into points values (1, '(1,2.5)', '(-0.1,1e300)'), (2, '(NaN,Infinity)', '(-Infinity,0)'), (3, null, '(0,0)');
delete from points where id = 1;
commit;
begin;
insert into extensions (id, h, l, i, ha, ca) values
  (1, 'k1=>NULL, "k 2"=>"a \"b\" \\ c", k3=>é', 'Top.Science', '0-393-04002-X', array['a=>1', null, 'b=>NULL']::hstore[], '{X,NULL}'),
  (2, '', '', null, '{}', null);
delete from extensions where id = 1;
commit;
