import java.time.Duration;
import java.util.AbstractMap.SimpleEntry;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
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

/** What the driver asks of the current clients. */
final class Release {
    private Release() {}

    static Map<String, Object> cannot() {
        return Map.of();
    }

    static Map<String, Object> wants() {
        return Map.of();
    }

    static ConsumerRecords<byte[], byte[]> poll(KafkaConsumer<byte[], byte[]> consumer, Duration wait) {
        return consumer.poll(wait);
    }

    static OffsetAndMetadata committed(KafkaConsumer<byte[], byte[]> consumer, TopicPartition where) {
        return consumer.committed(Set.of(where)).get(where);
    }

    static void close(KafkaProducer<byte[], byte[]> producer, Duration within) {
        producer.close(within);
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
        return withAdmin(bootstrap, within, admin -> admin.describeTopics(List.of(topic)).allTopicNames())
                .get(topic).partitions().size();
    }

    static OffsetAndMetadata committed(String bootstrap, String group, TopicPartition where, Duration within)
            throws Exception {
        return withAdmin(bootstrap, within, admin -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata())
                .get(where);
    }

    private interface AdminCall<T> {
        KafkaFuture<T> apply(Admin admin);
    }

    private static <T> T withAdmin(String bootstrap, Duration within, AdminCall<T> call) throws Exception {
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            return call.apply(admin).get(within.toMillis(), TimeUnit.MILLISECONDS);
        }
    }
}
