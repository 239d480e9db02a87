-- A table and its heir.
create table parent (id int primary key, a text);
create table child (b int, primary key (id)) inherits (parent);
-- stream
insert into parent values (1, 'p');
insert into child values (2, 'c', 5);
update parent set a = 'x';
delete from parent;
