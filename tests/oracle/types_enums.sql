-- Enums: quotes, commas, spaces and capitals in labels, in arrays, as key, and NOT NULL.
create type mood as enum ('sad', 'o k', 'it''s', 'a,b', 'GREAT', 'é', '"q"', '');
create schema "Other";
create type "Other"."Mood" as enum ('x', 'y');
create table e (m mood primary key, n mood, nn mood not null, a mood[], o "Other"."Mood");
-- stream
insert into e values ('sad', 'o k', 'it''s', '{"a,b",GREAT}', 'x'), ('é', null, '"q"', '{}', null), ('', '', '', null, 'y');
update e set n = 'GREAT' where m = 'sad';
delete from e where m = 'é';
