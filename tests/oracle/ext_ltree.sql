-- ltree, lquery and ltxtquery.
-- option schemas.enable=true
-- needs extension ltree
create extension ltree;
create table l (id int primary key, l ltree, ln ltree not null, la ltree[]);
-- stream
insert into l values (1, 'Top.Science.Astronomy', '', '{a.b,NULL,c}'), (2, null, 'x', '{}');
delete from l where id = 2;
