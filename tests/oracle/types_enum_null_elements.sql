-- An array of an enum with a null in it.
create type mood as enum ('sad', 'ok');
create table e (id int primary key, a mood[]);
-- stream
insert into e values (1, '{sad,NULL,ok}'), (2, '{NULL}');
