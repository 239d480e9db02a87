-- The type name, and "char".
create table n (id int primary key, n name, nn name not null, c "char", cn "char" not null);
-- stream
insert into n values (1, 'a name', 'b', 'c', 'd'), (2, null, '', null, '');
