-- Names beyond ASCII.
create table "tablé" (id int primary key, "столбец" text);
create table "表" (id int primary key);
-- stream
insert into "tablé" values (1, 'x');
insert into "表" values (1);
