-- citext, its arrays, as a key, and its schema.
-- option schemas.enable=true
-- needs extension citext
create extension citext;
create table c (id citext primary key, c citext, cn citext not null, ca citext[]);
-- stream
insert into c values ('Key', 'MiXed', '', '{Ab,NULL,"c d"}'), ('é', null, 'x', null);
update c set c = 'other' where id = 'KEY';
delete from c where id = 'É';
