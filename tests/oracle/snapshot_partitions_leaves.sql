-- Partitions alone, each under its own name, and their changes.
-- option snapshot.mode=initial
-- option table.include.list=public[.](p_eu|p_us_.)
create table p (id int, region text, v text, primary key (id, region)) partition by list (region);
create table p_eu partition of p for values in ('eu');
create table p_us partition of p for values in ('us') partition by range (id);
create table p_us_1 partition of p_us for values from (0) to (100);
create table p_us_2 partition of p_us for values from (100) to (200);
insert into p values (1, 'eu', 'a'), (2, 'us', 'b'), (102, 'us', 'c'), (103, 'us', 'd');
-- stream
update p set v = 'x' where id = 1;
update p set region = 'us', id = 3 where id = 1;
delete from p where id = 102;
