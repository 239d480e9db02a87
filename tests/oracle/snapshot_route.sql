-- Rows that are there, of many tables in one topic, the key made unique.
-- option snapshot.mode=initial
-- rows route.sql
insert into orders_2 values (1, 'c');
-- stream
update orders_1 set v = 'x' where id = 1;
delete from orders_2;
