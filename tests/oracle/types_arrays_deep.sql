-- Arrays of several dimensions, and with other lower bounds.
create table a (id int primary key, i int[], t text[][], z int[]);
-- stream
insert into a values (1, '{{1,2},{3,4}}', '{{a,b},{c,NULL}}', '[0:2]={1,2,3}'), (2, '{{{1}},{{2}}}', '{}', null);
