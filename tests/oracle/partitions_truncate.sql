-- Truncates of partitions and of their root.
-- option skipped.operations=none
create table p (id int, region text, v text, primary key (id, region)) partition by list (region);
create table p_eu partition of p for values in ('eu');
create table p_us partition of p for values in ('us') partition by range (id);
create table p_us_1 partition of p_us for values from (0) to (100);
create table p_us_2 partition of p_us for values from (100) to (200);
-- stream
insert into p values (1, 'eu', 'a'), (2, 'us', 'b');
truncate p_eu;
truncate p;
