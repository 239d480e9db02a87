-- money.
create table m (id int primary key, m money, mn money not null);
-- stream
insert into m values (1, 1234.11, -5.05), (2, null, 0), (3, '92233720368547758.07', '-92233720368547758.08');
delete from m where id = 3;
