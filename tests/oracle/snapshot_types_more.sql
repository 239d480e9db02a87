-- The rows of further types in a snapshot, each file in a schema of its own.
-- needs extension citext
-- option snapshot.mode=initial
create schema bytea_; set search_path = bytea_;
-- rows types_bytea.sql
insert into b values ('\x00ff10', '\xfbff', '', array['\x01'::bytea, null, '']), ('', null, '\xdeadbeef', '{}');
create schema bits_empty; set search_path = bits_empty;
-- rows types_bits_empty.sql
create schema domains; set search_path = domains;
-- rows types_domains.sql
insert into d values (1, 1.5, 'abc', 'def', '2020-01-02 03:04:05.678', null, 'x'), (9007199254740993, null, null, null, null, false, '');
create schema enum_null; set search_path = enum_null;
-- rows types_enum_null_elements.sql
create schema intervals; set search_path = intervals;
-- rows types_intervals.sql
create schema names; set search_path = names;
-- rows types_name.sql
create schema network; set search_path = network;
-- rows types_network.sql
create schema texts; set search_path = texts;
-- rows types_text_search.sql
create schema unicode; set search_path = unicode;
-- rows types_unicode.sql
insert into u values (E'\u00e9\U0001F600', E'\u0001\b\f\n\r\t\u001f"\\/\u007f\u0080\u009f', E'\uFEFF\uFFFD\uFFFF', array[E'\U0010FFFF', '', 'NULL']);
insert into u values ('', E'\u2028\u2029\u200B', E'\U000E0001e\u0301', array['a,b', '{c}', E'd"e\\f']), (E'\\.', E'\\N', null, '{}');
create schema citexts; set search_path = citexts;
-- rows ext_citext.sql
set search_path = public;
-- rows names_odd.sql
insert into "My Schema"."a b" values (1, 'x', 2, 3, 4, 5, 6, 7, 8);
-- rows names_unicode.sql
-- rows wide.sql
