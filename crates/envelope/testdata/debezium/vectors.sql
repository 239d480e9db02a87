-- pgvector's types by their text forms; stand-ins of the same names where the extension is not installed.
-- option schemas.enable=true
create type vector;
create function vector_in(cstring) returns vector language internal immutable strict as 'textin';
create function vector_out(vector) returns cstring language internal immutable strict as 'textout';
create type vector (input = vector_in, output = vector_out, internallength = variable, storage = extended);
create type halfvec;
create function halfvec_in(cstring) returns halfvec language internal immutable strict as 'textin';
create function halfvec_out(halfvec) returns cstring language internal immutable strict as 'textout';
create type halfvec (input = halfvec_in, output = halfvec_out, internallength = variable, storage = extended);
create type sparsevec;
create function sparsevec_in(cstring) returns sparsevec language internal immutable strict as 'textin';
create function sparsevec_out(sparsevec) returns cstring language internal immutable strict as 'textout';
create type sparsevec (input = sparsevec_in, output = sparsevec_out, internallength = variable, storage = extended);
create table v (id int primary key, v vector, h halfvec, s sparsevec, nv vector not null, nh halfvec not null);
-- stream
begin;
insert into v values (1, '[1,2.5,-3e-07]', '[0.099975586,2]', '{1:1.5,3:2}/500', '[1]', '[2]');
insert into v values (2, null, null, null, '[1e+20]', '[65504]');
delete from v where id = 1;
commit;
