-- Rows and columns chosen by the publication: rows that are there, then changes.
-- needs postgres >= 15
-- option snapshot.mode=initial
create table c (id int primary key, a text, hidden text, b int);
create table w (id int primary key, total int, v text);
alter table w replica identity full;
create publication oracle for table c (id, a, b), w where (total > 0);
insert into c values (1, 'a', 'secret', 2);
insert into w values (1, 1, 'in'), (2, 0, 'out'), (3, null, 'null');
-- stream
update c set a = 'b';
update w set total = 5 where id = 2;
delete from w;
