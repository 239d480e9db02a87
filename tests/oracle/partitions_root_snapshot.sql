-- The rows of partitions in a snapshot, under the root's name.
create table p (id int, region text, v text, primary key (id, region)) partition by list (region);
create table p_eu partition of p for values in ('eu');
create table p_us partition of p for values in ('us') partition by range (id);
create table p_us_1 partition of p_us for values from (0) to (100);
create table p_us_2 partition of p_us for values from (100) to (200);
create publication oracle for all tables with (publish_via_partition_root);
insert into p values (1, 'eu', 'a'), (2, 'us', 'b'), (102, 'us', 'c');
