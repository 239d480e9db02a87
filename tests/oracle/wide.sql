-- Many columns, dropped ones between them, and many rows in a transaction.
do $$ begin execute (select 'create table w (id int primary key, ' || string_agg(format('c%s %s', g, (array['int','text','numeric(10,2)','date','bool'])[g % 5 + 1]), ', ') || ')' from generate_series(1, 120) g); end $$;
alter table w drop c1, drop c60;
create table many (id int primary key, v text);
-- stream
insert into w (id, c2, c119, c120) values (1, 1.5, true, 7);
update w set c3 = '2020-01-01';
insert into many select g, 'v' || g from generate_series(1, 200) g;
update many set v = 'x' where id <= 50;
delete from many where id > 190;
