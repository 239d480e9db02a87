import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Properties;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Adds up the amounts of events, each event once, whoever is killed meanwhile. */
public final class Consumer {
    private static final String DATABASE = System.getenv("DATABASE");
    private static final String TOPIC = System.getenv("TOPIC");
    private static final boolean BY_POSITION = "position".equals(System.getenv("BY"));

    /** One event, one transaction: the effect, and the memory of it. */
    private static void handle(Connection db, ConsumerRecord<String, String> event) throws SQLException {
        if (isNew(db, event) && event.value() != null) {
            add(db, event.value());
        }
        db.commit();
    }

    private static boolean isNew(Connection db, ConsumerRecord<String, String> event) throws SQLException {
        var sql = BY_POSITION
                ? "SELECT walferry_inbox.advance(?, ?, ?, ?)"
                : "SELECT walferry_inbox.is_new(?, ?)";
        try (var statement = db.prepareStatement(sql)) {
            statement.setString(1, "billing");
            if (BY_POSITION) {
                statement.setString(2, event.topic());
                statement.setInt(3, event.partition());
                statement.setString(4, header(event, "walferry.id"));
            } else {
                statement.setString(2, header(event, "id"));
            }
            var answer = statement.executeQuery();
            return answer.next() && answer.getBoolean(1);
        }
    }

    private static String header(ConsumerRecord<String, String> event, String name) {
        return new String(event.headers().lastHeader(name).value(), StandardCharsets.UTF_8);
    }

    /** The database reads the JSON: one library less. */
    private static void add(Connection db, String event) throws SQLException {
        var sql = "INSERT INTO balance"
                + " SELECT (event->>'account')::int, (event->>'amount')::bigint, 1 FROM (SELECT ?::jsonb AS event) it"
                + " ON CONFLICT (account)"
                + " DO UPDATE SET amount = balance.amount + EXCLUDED.amount, events = balance.events + 1";
        try (var statement = db.prepareStatement(sql)) {
            statement.setString(1, event);
            statement.executeUpdate();
        }
    }

    /** Handles it whatever the database does: away, back, away. */
    private static Connection handleSurely(Connection db, ConsumerRecord<String, String> event)
            throws SQLException, InterruptedException {
        while (true) {
            try {
                if (db == null) {
                    db = DriverManager.getConnection(DATABASE);
                    db.setAutoCommit(false);
                }
                handle(db, event);
                return db;
            } catch (SQLException error) {
                // 08: the connection is lost; 57P: the server stops or starts; 40: the transaction is to
                // be tried again. Not known whether it was committed: asked again, the inbox knows.
                var state = String.valueOf(error.getSQLState());
                if (!state.startsWith("08") && !state.startsWith("57P") && !state.startsWith("40")) {
                    throw error;
                }
                System.err.println("postgres: " + error.getMessage());
                if (db != null) {
                    db.abort(Runnable::run);
                    db = null;
                }
                Thread.sleep(200);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("KAFKA"));
        settings.put("group.id", System.getenv().getOrDefault("GROUP", "billing"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        if (System.getenv("INSTANCE") != null) {
            // A name of its own: back after a crash, it has its partitions at once.
            settings.put("group.instance.id", System.getenv("INSTANCE"));
        }
        var strings = new StringDeserializer();
        try (var kafka = new KafkaConsumer<>(settings, strings, strings)) {
            var consuming = Thread.currentThread();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                kafka.wakeup(); // SIGTERM: poll ends, and what is in hand is not committed
                try {
                    consuming.join(5000);
                } catch (InterruptedException ended) {
                    Thread.currentThread().interrupt();
                }
            }));
            kafka.subscribe(List.of(TOPIC));
            Connection db = null;
            while (true) {
                for (var event : kafka.poll(Duration.ofMillis(500))) {
                    db = handleSurely(db, event);
                }
                // All of it is handled. Should this fail, the next round commits it, too; or it comes again.
                kafka.commitAsync();
            }
        } catch (WakeupException stopped) {
            System.err.println("stopped");
        }
    }
}
