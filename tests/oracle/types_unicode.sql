-- Every plane of Unicode, controls, and what JSON escapes.
create table u (id text primary key, t text, v varchar(10), a text[]);
-- stream
insert into u values (E'\u00e9\U0001F600', E'\u0001\b\f\n\r\t\u001f"\\/\u007f\u0080\u009f', E'\uFEFF\uFFFD\uFFFF', array[E'\U0010FFFF', '', 'NULL']);
insert into u values ('', E'\u2028\u2029\u200B', E'\U000E0001e\u0301', array['a,b', '{c}', E'd"e\\f']);
update u set t = E'\U00020000' where id = '';
delete from u;
