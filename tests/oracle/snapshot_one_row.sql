-- One row in all, and what becomes of it.
-- option snapshot.mode=initial
create table single (id int primary key, v text);
insert into single values (1, 'a');
-- stream
update single set v = 'b';
delete from single;
