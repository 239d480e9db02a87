-- Multiranges.
create table r (id int primary key, i4 int4multirange, d datemultirange);
-- stream
insert into r values (1, '{[1,5],[7,9)}', '{[2020-01-01,2020-02-01)}'), (2, '{}', null);
