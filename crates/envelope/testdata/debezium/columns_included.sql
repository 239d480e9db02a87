-- Included columns; updates that leave them as they were.
-- option column.include.list=public.u.h.*,public.x.id
-- option skip.messages.without.change=true
create table u (id int primary key, h1 text, h2 text not null, v int);
create table x (id int primary key, a int);
create table y (id int primary key, a int);
alter table u replica identity full;
-- stream
begin;
insert into u values (1, 'x', 'y', 2);
update u set v = 3;
update u set h1 = 'z';
insert into x values (1, 1);
update x set a = 2;
insert into y values (1, 1);
update y set a = 2;
update y set a = 2;
commit;
