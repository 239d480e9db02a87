-- Arrays whose values Debezium loses, and those it leaves out.
create extension ltree; create extension isn;
create domain positive as int check (value > 0);
create table a (id int primary key, l ltree[], i isbn[], b3 bit(3)[], b1 bit(1)[], v varbit[], m money[], p point[], bx box[], na name[], x xml[], d positive[]);
-- stream
insert into a values (1, '{a.b,NULL}', '{0-393-04002-X,NULL}', '{101,NULL}', '{1,0,NULL}', '{1,01,NULL}', '{1.5,NULL}', array['(1,2)', null]::point[], '{(1,1),(0,0);(2,2),(1,1)}',
  '{a,NULL}', array['<a/>'::xml, null], '{1,2}');
