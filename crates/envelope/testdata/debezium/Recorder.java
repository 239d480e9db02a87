import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.ChangeEventFormat;
import io.debezium.embedded.Connect;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.*;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * Runs one SQL file under real Debezium and writes beside it what went in (NAME.wal, NAME.catalog) and what came out
 * (NAME.events). Usage: Recorder PORT NAME.sql ...; see README.md.
 */
public class Recorder {
    static final String END = "walferry-end";

    public static void main(String[] args) throws Exception {
        for (int i = 1; i < args.length; i++) {
            record(args[0], Path.of(args[i]));
        }
        System.exit(0);
    }

    static void record(String port, Path sql) throws Exception {
        String text = Files.readString(sql);
        Matcher include = Pattern.compile("(?m)^-- include (.*)$").matcher(text);
        if (include.find()) {
            text += Files.readString(sql.resolveSibling(include.group(1)));
        }
        String[] parts = text.split("(?m)^-- stream$");
        String database = "oracle";
        try (Connection admin = connect(port, "postgres"); Statement s = admin.createStatement()) {
            s.execute("drop database if exists " + database + " with (force)");
            s.execute("create database " + database + " template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'");
        }
        try (Connection c = connect(port, database); Statement s = c.createStatement()) {
            s.execute("create publication pub for all tables");
            s.execute(parts[0]);
            s.execute("select pg_create_logical_replication_slot('gold', 'pgoutput')");
            List<String> events = new ArrayList<>();
            CountDownLatch end = new CountDownLatch(1);
            Properties props = properties(port, database, text);
            DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine = DebeziumEngine.create(Connect.class)
                    .using(props)
                    .notifying(event -> handle(event.value(), events, end))
                    .build();
            ExecutorService thread = Executors.newSingleThreadExecutor();
            thread.execute(engine);
            while (!streaming(s)) {
                Thread.sleep(50);
            }
            if (parts.length > 1) {
                for (String piece : parts[1].split("(?m)^-- then$")) {
                    s.execute(piece);
                    Thread.sleep(300);
                }
            }
            s.execute("select pg_logical_emit_message(true, '" + END + "', '')");
            if (!end.await(60, TimeUnit.SECONDS)) {
                throw new IllegalStateException(sql + ": Debezium did not reach the end");
            }
            engine.close();
            thread.shutdown();
            thread.awaitTermination(30, TimeUnit.SECONDS);
            String base = sql.toString().replaceAll("\\.sql$", "");
            Files.write(Path.of(base + ".events"), events);
            Files.write(Path.of(base + ".wal"), wal(s));
            Files.write(Path.of(base + ".catalog"), catalog(s));
            s.execute("select pg_drop_replication_slot('gold')");
            while (!dropped(s)) {
                Thread.sleep(50);
            }
            System.out.println(sql + ": " + events.size() + " events");
        }
    }

    static boolean streaming(Statement s) throws SQLException {
        try (ResultSet r = s.executeQuery("select 1 from pg_stat_replication where state = 'streaming'")) {
            return r.next();
        }
    }

    static boolean dropped(Statement s) throws SQLException {
        try (ResultSet r = s.executeQuery(
                "select active, pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")) {
        }
        try (ResultSet r = s.executeQuery("select 1 from pg_replication_slots")) {
            return !r.next();
        }
    }

    static Connection connect(String port, String database) throws SQLException {
        return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/" + database, "postgres", "");
    }

    /** The converter's schemas.enable in the case at hand. */
    static String schemas = "false";

    static Properties properties(String port, String database, String text) {
        Properties p = new Properties();
        schemas = "false";
        String[] pairs = {
            "name", "oracle", "connector.class", "io.debezium.connector.postgresql.PostgresConnector",
            "offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
            "offset.flush.interval.ms", "0", "database.hostname", "127.0.0.1", "database.port", port,
            "database.user", "postgres", "database.password", "x", "database.dbname", database,
            "topic.prefix", "srv", "plugin.name", "pgoutput", "slot.name", "dbz", "publication.name", "pub",
            "publication.autocreate.mode", "disabled", "snapshot.mode", "no_data",
            "extended.headers.enabled", "false", "poll.interval.ms", "20"};
        for (int i = 0; i < pairs.length; i += 2) {
            p.setProperty(pairs[i], pairs[i + 1]);
        }
        for (String line : text.split("\n")) {
            if (line.equals("-- option schemas.enable=true")) {
                schemas = "true";
            } else if (line.startsWith("-- option ")) {
                String[] option = line.substring(10).split("=", 2);
                p.setProperty(option[0].trim(), option[1].trim());
            }
        }
        return p;
    }

    static void handle(SourceRecord record, List<String> events, CountDownLatch end) {
        if (record.value() instanceof Struct value && value.schema().field("message") != null
                && END.equals(value.getStruct("message").getString("prefix"))) {
            end.countDown();
            return;
        }
        JsonConverter key = converter(true, schemas);
        JsonConverter value = converter(false, schemas);
        SimpleHeaderConverter headers = new SimpleHeaderConverter();
        StringBuilder line = new StringBuilder(record.topic());
        line.append('\t').append(string(key.fromConnectData(record.topic(), record.keySchema(), record.key())));
        line.append('\t').append(string(value.fromConnectData(record.topic(), record.valueSchema(), record.value())));
        for (Header header : record.headers()) {
            line.append('\t').append(header.key()).append('=')
                    .append(string(headers.fromConnectHeader(record.topic(), header.key(), header.schema(), header.value())));
        }
        synchronized (events) {
            events.add(line.toString());
        }
    }

    static JsonConverter converter(boolean key, String schemas) {
        JsonConverter converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", schemas), key);
        return converter;
    }

    static String string(byte[] bytes) {
        return bytes == null ? "<none>" : new String(bytes, StandardCharsets.UTF_8);
    }

    static List<String> wal(Statement s) throws SQLException {
        List<String> lines = new ArrayList<>();
        try (ResultSet r = s.executeQuery("select lsn, encode(data, 'hex') from pg_logical_slot_get_binary_changes("
                + "'gold', null, null, 'proto_version', '1', 'publication_names', 'pub', 'messages', 'true')")) {
            while (r.next()) {
                lines.add(r.getString(1) + " " + r.getString(2));
            }
        }
        return lines;
    }

    static List<String> catalog(Statement s) throws SQLException {
        List<String> lines = new ArrayList<>();
        try (ResultSet r = s.executeQuery("""
                select json_build_object('relation', c.oid::int8,
                  'primary_key', coalesce((select json_agg(a.attname order by k.n) from pg_index i,
                      unnest(i.indkey) with ordinality k(attnum, n), pg_attribute a
                      where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = k.attnum), '[]'),
                  'identity_index', coalesce((select json_agg(a.attname order by k.n) from pg_index i,
                      unnest(i.indkey) with ordinality k(attnum, n), pg_attribute a
                      where i.indrelid = c.oid and i.indisreplident and a.attrelid = c.oid and a.attnum = k.attnum), '[]'),
                  'not_null', coalesce((select json_agg(a.attname order by a.attnum) from pg_attribute a
                      where a.attrelid = c.oid and a.attnum > 0 and a.attnotnull), '[]'),
                  'defaults', coalesce((select json_agg(json_build_array(a.attname, pg_get_expr(d.adbin, d.adrelid)) order by a.attnum)
                      from pg_attribute a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                      where a.attrelid = c.oid and a.attgenerated = ''), '[]'))::text
                from pg_class c where c.relkind in ('r', 'p') and c.oid >= 16384
                union all
                select json_build_object('type', t.oid::int8, 'schema', n.nspname, 'name', t.typname,
                  'kind', case when t.typcategory = 'A' then 'array' else t.typtype::text end, 'element', t.typelem::int8,
                  'base', t.typbasetype::int8, 'type_modifier', t.typtypmod,
                  'labels', (select json_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))::text
                from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid >= 16384""")) {
            while (r.next()) {
                lines.add(r.getString(1));
            }
        }
        return lines;
    }
}
