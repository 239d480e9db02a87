-- Names with spaces, dots, quotes, capitals, dollars, beginnings of digits, reserved words.
create schema "My Schema";
create table "My Schema"."a b" ("Id" int primary key, "a b" text, "a.c" int, "a-d" int, "1st" int, "select" int, "q""q" int, "$x" int, "é" int);
create table "order" ("user" int primary key, "from" text);
create table "Mixed" (id int primary key);
create table "a$b" (id int primary key);
create table "tab-le" (id int primary key);
-- stream
insert into "My Schema"."a b" values (1, 'x', 2, 3, 4, 5, 6, 7, 8);
update "My Schema"."a b" set "a b" = 'y';
delete from "My Schema"."a b";
insert into "order" values (1, 'x');
insert into "Mixed" values (1);
insert into "a$b" values (1);
insert into "tab-le" values (1);
