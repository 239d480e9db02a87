-- hstore as JSON text, as column, NOT NULL, and array.
-- needs extension hstore
create extension hstore;
create table h (id int primary key, h hstore, hn hstore not null, ha hstore[]);
-- stream
insert into h values (1, 'k=>v', 'n=>NULL', array['a=>1'::hstore]);
insert into h values (2, null, '', '{}');
insert into h values (3, '"quo\"ted"=>"a b\\c"', 'é=>漢', array[null, 'x=>y'::hstore]);
delete from h where id = 1;
