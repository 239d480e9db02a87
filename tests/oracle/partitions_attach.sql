-- Partitions are attached and detached.
create table p (id int, region text, v text, primary key (id, region)) partition by list (region);
create table p_eu partition of p for values in ('eu');
create table p_us partition of p for values in ('us') partition by range (id);
create table p_us_1 partition of p_us for values from (0) to (100);
create table p_us_2 partition of p_us for values from (100) to (200);
-- stream
insert into p values (1, 'eu', 'a');
-- sync
create table p_as (id int not null, region text not null, v text, primary key (id, region));
insert into p_as values (5, 'as', 'alone');
alter table p attach partition p_as for values in ('as');
insert into p values (6, 'as', 'attached');
-- sync
alter table p detach partition p_as;
insert into p_as values (7, 'as', 'detached');
