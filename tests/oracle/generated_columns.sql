-- Generated and identity columns in the stream.
create table g (id int generated always as identity primary key, a int, b int generated always as (a * 2) stored, s serial);
-- stream
insert into g (a) values (5), (null);
update g set a = 6 where id = 1;
delete from g;
