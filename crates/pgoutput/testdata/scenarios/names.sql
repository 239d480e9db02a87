-- Names that need quoting, a table without columns, a name of 63 bytes, quoted column names.
CREATE SCHEMA "Sch.ema ""q"" ☃";
CREATE TABLE "Sch.ema ""q"" ☃"."we.ird ""Tbl"" $1" (
    "Id" int PRIMARY KEY, "sélect
line" text, " " int);
CREATE TABLE nothing ();
CREATE TABLE a23456789_123456789_123456789_123456789_123456789_123456789_123 (id int PRIMARY KEY);
-- captured
INSERT INTO "Sch.ema ""q"" ☃"."we.ird ""Tbl"" $1" VALUES (1, 'x', 2);
INSERT INTO nothing DEFAULT VALUES;
INSERT INTO a23456789_123456789_123456789_123456789_123456789_123456789_123 VALUES (1);
