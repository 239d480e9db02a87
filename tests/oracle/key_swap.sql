-- Keys that are swapped, moved up, and taken again within a transaction.
create table k (id int primary key, v text);
-- stream
insert into k values (1, 'a'), (2, 'b'), (3, 'c');
begin;
update k set id = 9 where id = 1;
update k set id = 1 where id = 2;
update k set id = 2 where id = 9;
commit;
begin;
delete from k where id = 3;
insert into k values (3, 'd');
commit;
