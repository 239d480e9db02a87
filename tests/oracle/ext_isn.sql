-- International numbers.
-- needs extension isn
create extension isn;
create table i (id int primary key, a isbn, b isbn13, c issn, d issn13, e ismn, f ismn13, g upc, h ean13);
-- stream
insert into i values (1, '0-393-04002-X', '978-0-393-04002-9', '1436-4522', '977-1436-452-00-8', 'M-706700-00-7', '979-0-706700-00-7', '220356483481', '978-0-393-04002-9');
insert into i (id) values (2);
