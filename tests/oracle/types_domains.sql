-- Domains: over numbers, texts, times, over another domain, with defaults and constraints, in a key.
create domain amount as numeric(10,3) check (value >= 0);
create domain code as varchar(8);
create domain subcode as code;
create domain moment as timestamp(3);
create domain flag as boolean default true;
create domain ident as int8 not null;
create domain yes as text not null default 'y';
create table d (id ident primary key, a amount, c code, s subcode, m moment, f flag, y yes);
-- stream
insert into d values (1, 1.5, 'abc', 'def', '2020-01-02 03:04:05.678', null, 'x'), (9007199254740993, null, null, null, null, false, '');
insert into d (id) values (2);
update d set id = 3 where id = 2;
delete from d;
