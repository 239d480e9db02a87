-- Geometric types: only points have a form in Debezium.
create table g (id int primary key, p point, pn point not null, l line, s lseg, b box, pa path, po polygon, c circle);
-- stream
insert into g values (1, '(1,2.5)', '(0,0)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(1,2),3>');
insert into g (id, pn) values (2, '(-1e300,1e-300)'), (3, '(Infinity,NaN)');
delete from g where id = 2;
