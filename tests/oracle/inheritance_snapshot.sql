-- A table and its heir in a snapshot.
create table parent (id int primary key, a text);
create table child (b int, primary key (id)) inherits (parent);
insert into parent values (1, 'p');
insert into child values (2, 'c', 5);
