import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** What the driver asks of clients 0.10.2: message format v1, no headers, no admin client, Produce 2 and Fetch 3. */
final class Release {
    private static final int FETCH = 1;
    private static final int FETCH_SPOKEN = 3;

    private Release() {}

    static Map<String, Object> cannot() {
        String admin = "clients before 0.11 have no admin client";
        return Map.of(
                "headers", "message format v1 has no headers",
                "idempotence", "clients before 0.11 have no idempotent producer",
                "codec-zstd", "clients before 2.1 know no zstd",
                "admin", admin,
                "admin-offsets", admin);
    }

    static Map<String, Object> wants() {
        return Map.of("everything", List.of(FETCH, FETCH_SPOKEN, "clients 0.10.2 speak Fetch 3"));
    }

    static ConsumerRecords<byte[], byte[]> poll(KafkaConsumer<byte[], byte[]> consumer, Duration wait) {
        return consumer.poll(wait.toMillis());
    }

    static OffsetAndMetadata committed(KafkaConsumer<byte[], byte[]> consumer, TopicPartition where) {
        return consumer.committed(where);
    }

    static void close(KafkaProducer<byte[], byte[]> producer, Duration within) {
        producer.close(within.toMillis(), TimeUnit.MILLISECONDS);
    }

    static List<Map.Entry<String, byte[]>> headers(ConsumerRecord<byte[], byte[]> record) {
        return List.of();
    }

    static ProducerRecord<byte[], byte[]> record(
            String topic, Integer partition, Long timestamp, byte[] key, byte[] value, List<Map.Entry<String, byte[]>> headers) {
        if (!headers.isEmpty()) {
            throw new UnsupportedOperationException("headers");
        }
        return new ProducerRecord<>(topic, partition, timestamp, key, value);
    }

    static void createTopic(String bootstrap, String topic, int partitions, Duration within) {
        throw new UnsupportedOperationException("admin");
    }

    static void deleteTopic(String bootstrap, String topic, Duration within) {
        throw new UnsupportedOperationException("admin");
    }

    static Collection<String> topics(String bootstrap, Duration within) {
        Properties options = new Properties();
        options.put("bootstrap.servers", bootstrap);
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(options, bytes, bytes)) {
            return consumer.listTopics().keySet();
        }
    }

    static int partitions(String bootstrap, String topic, Duration within) {
        throw new UnsupportedOperationException("admin");
    }

    static OffsetAndMetadata committed(String bootstrap, String group, TopicPartition where, Duration within) {
        throw new UnsupportedOperationException("admin-offsets");
    }
}
