-- Generated, identity and dropped columns: rows that are there, then their changes.
-- option snapshot.mode=initial
-- option schemas.enable=true
create table g (id int generated always as identity primary key, gone int, a int, b int generated always as (a * 2) stored, s serial, c text default 'x');
insert into g (a) values (5), (null);
alter table g drop gone;
alter table g add d int not null default 7;
insert into g (a, d) values (6, 8);
-- stream
update g set a = 6 where id = 1;
delete from g where id = 2;
