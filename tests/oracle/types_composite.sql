-- Composite types, and arrays that have no form.
create type pair as (a int, b text);
create table c (id int primary key, p pair, pa pair[], ma money[], na name[], va varbit[], xa xml[], pta point[], iva interval[]);
-- stream
insert into c values (1, '(1,"x, y")', array['(1,a)'::pair], '{1.50}', '{a}', '{101}', array['<a/>'::xml], array['(1,2)'::point], '{1 day}'), (2, null, null, null, null, null, null, null, null);
