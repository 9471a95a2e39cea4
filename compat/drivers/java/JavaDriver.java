import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.AbstractMap.SimpleEntry;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Driver for Kafka's own Java clients, 0.10.2 to 4; the vocabulary is described in compat/README.md.
 *
 * What differs from release to release stands in the class Release, of which each folder beside this file has one.
 */
public final class JavaDriver {
    private static final Duration POLL = Duration.ofMillis(200);

    private final ObjectMapper json = new ObjectMapper();
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private final Map<String, Member> members = new HashMap<>();
    private String bootstrap;
    private long deadlineNanos;

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        JavaDriver driver = new JavaDriver();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode request = driver.json.readTree(line);
            Map<String, Object> answer = new HashMap<>();
            answer.put("id", request.get("id").asLong());
            try {
                answer.put("ok", driver.answer(request));
            } catch (ExecutionException | KafkaException | TimeoutException problem) {
                Throwable cause = problem instanceof ExecutionException ? problem.getCause() : problem;
                answer.put("error", cause.getClass().getSimpleName() + ": " + cause.getMessage());
            }
            out.println(driver.json.writeValueAsString(answer));
            out.flush();
        }
        // Consumers of a broker that is gone may hang; nothing is owed any more.
        Runtime.getRuntime().halt(0);
    }

    private Map<String, Object> answer(JsonNode request) throws Exception {
        deadlineNanos = System.nanoTime() + (long) (request.get("timeout_s").asDouble() * 1e9);
        switch (request.get("do").asText()) {
            case "hello": return hello(request);
            case "create_topic": return createTopic(request);
            case "delete_topic": return deleteTopic(request);
            case "list_topics": return listTopics();
            case "describe_topic": return describeTopic(request);
            case "produce": return produce(request);
            case "close_producer": return closeProducer(request);
            case "consume": return consume(request);
            case "watermarks": return watermarks(request);
            case "commit": return commit(request);
            case "committed": return committed(request);
            case "admin_committed": return adminCommitted(request);
            case "group_read": return groupRead(request);
            case "member_start": return memberStart(request);
            case "member_seen": return members.get(request.get("member").asText()).seen();
            case "member_close": return members.remove(request.get("member").asText()).close();
            default: throw new IllegalArgumentException("unknown command " + request);
        }
    }

    private Map<String, Object> hello(JsonNode request) {
        bootstrap = request.get("bootstrap").asText();
        String runtime = "Java " + System.getProperty("java.version");
        return Map.of("version", AppInfoParser.getVersion(), "runtime", runtime, "cannot", Release.cannot(), "wants", Release.wants());
    }

    private Map<String, Object> createTopic(JsonNode request) throws Exception {
        Release.createTopic(bootstrap, topic(request), request.get("partitions").asInt(), left());
        return Map.of();
    }

    private Map<String, Object> deleteTopic(JsonNode request) throws Exception {
        Release.deleteTopic(bootstrap, topic(request), left());
        return Map.of();
    }

    private Map<String, Object> listTopics() throws Exception {
        return Map.of("topics", Release.topics(bootstrap, left()));
    }

    private Map<String, Object> describeTopic(JsonNode request) throws Exception {
        return Map.of("partitions", Release.partitions(bootstrap, topic(request), left()));
    }

    private Map<String, Object> adminCommitted(JsonNode request) throws Exception {
        return offset(Release.committed(bootstrap, request.get("group").asText(), where(request), left()));
    }

    private Map<String, Object> produce(JsonNode request) throws Exception {
        String name = request.path("producer").asText("");
        KafkaProducer<byte[], byte[]> producer = producers.get(name);
        if (producer == null) {
            producer = openProducer(request);
            producers.put(name, producer);
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (JsonNode record : request.get("records")) {
            sent.add(producer.send(recordIn(topic(request), record)));
            Thread.sleep(request.path("pace_ms").asInt(0));
        }
        List<Long> offsets = new ArrayList<>();
        for (Future<RecordMetadata> one : sent) {
            RecordMetadata metadata = wait(one);
            offsets.add(metadata.offset() >= 0 ? metadata.offset() : null);
        }
        if (name.isEmpty()) {
            Release.close(producers.remove(name), left());
        }
        return Map.of("offsets", offsets);
    }

    private Map<String, Object> closeProducer(JsonNode request) {
        Release.close(producers.remove(request.get("producer").asText()), left());
        return Map.of();
    }

    private Map<String, Object> consume(JsonNode request) throws TimeoutException {
        TopicPartition where = where(request);
        try (KafkaConsumer<byte[], byte[]> consumer = openConsumer(null, Map.of())) {
            consumer.assign(List.of(where));
            JsonNode start = request.get("start");
            if (start.has("offset")) {
                consumer.seek(where, start.get("offset").asLong());
            } else if (start.has("time")) {
                consumer.seek(where, consumer.offsetsForTimes(Map.of(where, start.get("time").asLong())).get(where).offset());
            } else {
                consumer.seekToBeginning(List.of(where));
            }
            return Map.of("records", collect(consumer, request.get("count").asInt()));
        }
    }

    private Map<String, Object> watermarks(JsonNode request) {
        TopicPartition where = where(request);
        try (KafkaConsumer<byte[], byte[]> consumer = openConsumer(null, Map.of())) {
            long beginning = consumer.beginningOffsets(List.of(where)).get(where);
            return Map.of("beginning", beginning, "end", consumer.endOffsets(List.of(where)).get(where));
        }
    }

    private Map<String, Object> commit(JsonNode request) {
        TopicPartition where = where(request);
        try (KafkaConsumer<byte[], byte[]> consumer = openConsumer(request.get("group").asText(), Map.of())) {
            consumer.assign(List.of(where));
            consumer.commitSync(Map.of(where, new OffsetAndMetadata(request.get("offset").asLong())));
            return Map.of();
        }
    }

    private Map<String, Object> committed(JsonNode request) {
        TopicPartition where = where(request);
        try (KafkaConsumer<byte[], byte[]> consumer = openConsumer(request.get("group").asText(), Map.of())) {
            return offset(Release.committed(consumer, where));
        }
    }

    private Map<String, Object> groupRead(JsonNode request) throws TimeoutException {
        String group = request.get("group").asText();
        try (KafkaConsumer<byte[], byte[]> consumer = openConsumer(group, Map.of("max.poll.records", "1"))) {
            consumer.subscribe(List.of(topic(request)));
            List<Map<String, Object>> records = collect(consumer, request.get("count").asInt());
            Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
            for (Map<String, Object> record : records) {
                TopicPartition where = new TopicPartition(topic(request), (Integer) record.get("partition"));
                ends.put(where, new OffsetAndMetadata((Long) record.get("offset") + 1));
            }
            consumer.commitSync(ends);
            return Map.of("records", records);
        }
    }

    private Map<String, Object> memberStart(JsonNode request) {
        Map<String, String> options = Map.of("enable.auto.commit", "true", "auto.commit.interval.ms", "500");
        Member member = new Member(openConsumer(request.get("group").asText(), options), topic(request));
        members.put(request.get("member").asText(), member);
        member.start();
        return Map.of();
    }

    /** A consumer of a group that is polled on its own thread, so that several can rebalance with each other. */
    private final class Member extends Thread {
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final String topic;
        private final List<Map<String, Object>> records = new ArrayList<>();
        private List<Integer> assignment = List.of();
        private String error;
        private volatile boolean closing;

        Member(KafkaConsumer<byte[], byte[]> consumer, String topic) {
            this.consumer = consumer;
            this.topic = topic;
            setDaemon(true);
        }

        @Override
        public void run() {
            try (consumer) {
                consumer.subscribe(List.of(topic));
                while (!closing) {
                    take(poll(consumer));
                }
            } catch (KafkaException problem) {
                fail(problem);
            }
        }

        private synchronized void take(List<Map<String, Object>> polled) {
            records.addAll(polled);
            assignment = consumer.assignment().stream().map(TopicPartition::partition).sorted().toList();
        }

        private synchronized void fail(KafkaException problem) {
            error = problem.toString();
        }

        synchronized Map<String, Object> seen() {
            Map<String, Object> answer = new HashMap<>();
            answer.put("assignment", assignment);
            answer.put("records", new ArrayList<>(records));
            answer.put("error", error);
            records.clear();
            return answer;
        }

        Map<String, Object> close() throws Exception {
            closing = true;
            join(left().toMillis());
            if (isAlive()) {
                throw new TimeoutException("the member didn't leave its group");
            }
            return seen();
        }
    }

    private KafkaProducer<byte[], byte[]> openProducer(JsonNode request) {
        Map<String, Object> options = new HashMap<>();
        options.put("bootstrap.servers", bootstrap);
        options.put("compression.type", request.get("codec").asText());
        options.put("acks", request.get("acks").asText());
        options.put("enable.idempotence", request.get("idempotent").asText());
        if (!request.get("idempotent").asBoolean()) {
            // Retries of several requests in flight would reorder records.
            options.put("max.in.flight.requests.per.connection", 1);
        }
        options.put("linger.ms", 5);
        // Old releases give up at once otherwise.
        options.put("retries", Integer.MAX_VALUE);
        // And give up what waited for so long: the restart of a broker on a busy machine.
        options.put("request.timeout.ms", 60_000);
        options.put("max.request.size", 4 << 20);
        options.put("reconnect.backoff.max.ms", 500);
        return new KafkaProducer<>(options, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> openConsumer(String group, Map<String, String> more) {
        Map<String, Object> options = new HashMap<>();
        options.put("bootstrap.servers", bootstrap);
        options.put("enable.auto.commit", "false");
        options.put("auto.offset.reset", "earliest");
        options.put("metadata.max.age.ms", "2000");
        options.put("reconnect.backoff.max.ms", 500);
        if (group != null) {
            options.put("group.id", group);
            options.put("session.timeout.ms", "6000");
            options.put("heartbeat.interval.ms", "300");
        }
        options.putAll(more);
        return new KafkaConsumer<>(options, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private List<Map<String, Object>> collect(KafkaConsumer<byte[], byte[]> consumer, int count) throws TimeoutException {
        List<Map<String, Object>> records = new ArrayList<>();
        while (records.size() < count) {
            if (System.nanoTime() > deadlineNanos) {
                throw new TimeoutException(records.size() + " of " + count + " records arrived");
            }
            records.addAll(poll(consumer));
        }
        return records.subList(0, count);
    }

    private static List<Map<String, Object>> poll(KafkaConsumer<byte[], byte[]> consumer) {
        List<Map<String, Object>> records = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : Release.poll(consumer, POLL)) {
            records.add(recordOut(record));
        }
        return records;
    }

    private static Map<String, Object> recordOut(ConsumerRecord<byte[], byte[]> record) {
        List<List<Object>> headers = new ArrayList<>();
        for (Map.Entry<String, byte[]> header : Release.headers(record)) {
            List<Object> pair = new ArrayList<>();
            pair.add(header.getKey());
            pair.add(header.getValue());
            headers.add(pair);
        }
        Map<String, Object> out = new HashMap<>();
        out.put("partition", record.partition());
        out.put("offset", record.offset());
        out.put("timestamp", record.timestamp());
        out.put("key", record.key());
        out.put("value", record.value());
        out.put("headers", headers);
        return out;
    }

    private static ProducerRecord<byte[], byte[]> recordIn(String topic, JsonNode record) {
        List<Map.Entry<String, byte[]>> headers = new ArrayList<>();
        for (JsonNode header : record.get("headers")) {
            headers.add(new SimpleEntry<>(header.get(0).asText(), bytes(header.get(1))));
        }
        Integer partition = record.get("partition").isNull() ? null : record.get("partition").asInt();
        Long timestamp = record.get("timestamp").isNull() ? null : record.get("timestamp").asLong();
        return Release.record(topic, partition, timestamp, bytes(record.get("key")), bytes(record.get("value")), headers);
    }

    private static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    private static Map<String, Object> offset(OffsetAndMetadata entry) {
        Map<String, Object> answer = new HashMap<>();
        answer.put("offset", Optional.ofNullable(entry).map(OffsetAndMetadata::offset).orElse(null));
        return answer;
    }

    private static String topic(JsonNode request) {
        return request.get("topic").asText();
    }

    private static TopicPartition where(JsonNode request) {
        return new TopicPartition(topic(request), request.get("partition").asInt());
    }

    private Duration left() {
        return Duration.ofNanos(Math.max(100_000_000L, deadlineNanos - System.nanoTime()));
    }

    private <T> T wait(Future<T> future) throws Exception {
        return future.get(left().toMillis(), TimeUnit.MILLISECONDS);
    }
}
