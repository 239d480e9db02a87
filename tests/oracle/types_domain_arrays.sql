-- Domains over arrays, and arrays of domains.
create domain numbers as int[];
create domain small as int2;
create table d (id int primary key, n numbers, s small[]);
-- stream
insert into d values (1, '{1,NULL,3}', '{1,2}'), (2, null, null), (3, '{}', '{}');
