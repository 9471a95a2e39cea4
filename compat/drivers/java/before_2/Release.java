import java.time.Duration;
import java.util.AbstractMap.SimpleEntry;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** What the driver asks of clients 0.11 to 1.1: headers and an admin client, but no groups in it and no zstd. */
final class Release {
    private Release() {}

    static Map<String, Object> cannot() {
        return Map.of(
                "codec-zstd", "clients before 2.1 know no zstd",
                "admin-offsets", "the admin client before 2.0 knows no groups");
    }

    static Map<String, Object> wants() {
        return Map.of();
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
        List<Map.Entry<String, byte[]>> found = new ArrayList<>();
        for (Header header : record.headers()) {
            found.add(new SimpleEntry<>(header.key(), header.value()));
        }
        return found;
    }

    static ProducerRecord<byte[], byte[]> record(
            String topic, Integer partition, Long timestamp, byte[] key, byte[] value, List<Map.Entry<String, byte[]>> headers) {
        List<Header> sent = new ArrayList<>();
        for (Map.Entry<String, byte[]> header : headers) {
            sent.add(new RecordHeader(header.getKey(), header.getValue()));
        }
        return new ProducerRecord<>(topic, partition, timestamp, key, value, sent);
    }

    static void createTopic(String bootstrap, String topic, int partitions, Duration within) throws Exception {
        NewTopic wanted = new NewTopic(topic, partitions, (short) 1);
        withAdmin(bootstrap, within, admin -> admin.createTopics(List.of(wanted)).all());
    }

    static void deleteTopic(String bootstrap, String topic, Duration within) throws Exception {
        withAdmin(bootstrap, within, admin -> admin.deleteTopics(List.of(topic)).all());
    }

    static Collection<String> topics(String bootstrap, Duration within) throws Exception {
        return withAdmin(bootstrap, within, admin -> admin.listTopics().names());
    }

    static int partitions(String bootstrap, String topic, Duration within) throws Exception {
        return withAdmin(bootstrap, within, admin -> admin.describeTopics(List.of(topic)).all())
                .get(topic).partitions().size();
    }

    static OffsetAndMetadata committed(String bootstrap, String group, TopicPartition where, Duration within) {
        throw new UnsupportedOperationException("admin-offsets");
    }

    private interface AdminCall<T> {
        KafkaFuture<T> apply(AdminClient admin);
    }

    private static <T> T withAdmin(String bootstrap, Duration within, AdminCall<T> call) throws Exception {
        try (AdminClient admin = AdminClient.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            return call.apply(admin).get(within.toMillis(), TimeUnit.MILLISECONDS);
        }
    }
}
