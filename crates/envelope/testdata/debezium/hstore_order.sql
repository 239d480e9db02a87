-- The order of hstore's pairs, which is a Java HashMap's.
create extension hstore;
create table pairs (id int primary key, h hstore);
-- stream
insert into pairs values (1, 'k1=>NULL,k2=>"a b","q\"x"=>"y\\z"');
insert into pairs values (2, 'a=>1,b=>2,aa=>3,Zebra=>4,"é"=>"漢😀","漢"=>é,"😀"=>x');
insert into pairs values (3, '"name"=>"x", "colour"=>"red", "size"=>"10", "weight"=>"5", "height"=>"3", "width"=>"2", "depth"=>"1", "price"=>"9", "stock"=>"0", "sku"=>"k", "vendor"=>"v", "url"=>"u", "made"=>"m"');
insert into pairs select i, (select hstore(array_agg('key' || k), array_agg(k::text)) from generate_series(1, i) k) from unnest(array[12, 13, 24, 25, 48, 49, 97]) i;
