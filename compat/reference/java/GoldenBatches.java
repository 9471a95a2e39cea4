import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.ByteBufferOutputStream;

/** Prints one JSON line per record batch or message set. Arguments: the release's name, the magics ("2" or "0,1"). */
public final class GoldenBatches {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long TIME = 1_700_000_000_000L;
    private static final int LIMIT = 1 << 20;
    private static final Header[] HEADERS = {
        new RecordHeader("trace", bytes("42")), new RecordHeader("", new byte[0]), new RecordHeader("null\u00e9", null),
    };
    private static final TimestampType CREATE = TimestampType.CREATE_TIME;

    private final String release;
    private final PrintStream out;

    private GoldenBatches(String release, PrintStream out) {
        this.release = release;
        this.out = out;
    }

    public static void main(String[] arguments) throws Exception {
        GoldenBatches batches = new GoldenBatches(arguments[0], new PrintStream(System.out, false, StandardCharsets.UTF_8));
        for (String magic : arguments[1].split(",")) {
            if (magic.equals("2")) {
                batches.printCurrent();
            } else {
                batches.printLegacy(Byte.parseByte(magic));
            }
        }
        batches.out.flush();
    }

    private void printCurrent() throws Exception {
        for (CompressionType codec : CompressionType.values()) {
            print("few", codec, few(builder((byte) 2, codec, CREATE, 0), HEADERS));
            print("many", codec, many(builder((byte) 2, codec, CREATE, 1000)));
            print("blocks", codec, blocks(builder((byte) 2, codec, CREATE, 7)));
            print("gaps", codec, gaps(builder((byte) 2, codec, CREATE, 5)));
        }
        CompressionType none = CompressionType.NONE;
        print("log-append-time", none, few(builder((byte) 2, none, TimestampType.LOG_APPEND_TIME, 3), HEADERS));
        print("idempotent", none, few(producer(77, (short) 3, 10, false, false, 0), new Header[0]));
        print("sequence-wraps", none, few(producer(Long.MAX_VALUE, Short.MAX_VALUE, Integer.MAX_VALUE - 1, false, false, 9), HEADERS));
        print("transactional", none, few(producer(5, (short) 0, 0, true, false, 1), HEADERS));
        print("delete-horizon", none, few(horizon(), HEADERS));
        print("far-timestamps", none, farTimestamps(builder((byte) 2, none, CREATE, 0)));
        print("two-batches", none, join(few(builder((byte) 2, none, CREATE, 0), HEADERS),
            few(builder((byte) 2, CompressionType.GZIP, CREATE, 4), HEADERS)));
        printControl(none);
    }

    private void printControl(CompressionType none) throws Exception {
        for (ControlRecordType type : List.of(ControlRecordType.COMMIT, ControlRecordType.ABORT)) {
            EndTransactionMarker marker = new EndTransactionMarker(type, 12);
            print("marker-" + type.toString().toLowerCase(), none,
                MemoryRecords.withEndTransactionMarker(30, TIME, 2, 77, (short) 3, marker));
        }
        LeaderChangeMessage leader = new LeaderChangeMessage().setLeaderId(1)
            .setVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)))
            .setGrantingVoters(List.of(new LeaderChangeMessage.Voter().setVoterId(1)));
        print("leader-change", none, MemoryRecords.withLeaderChangeMessage(0, TIME, 4, scratch(), leader));
        SnapshotHeaderRecord header = new SnapshotHeaderRecord().setLastContainedLogTimestamp(TIME - 1);
        print("snapshot-header", none, MemoryRecords.withSnapshotHeaderRecord(0, TIME, 4, scratch(), header));
        print("snapshot-footer", none, MemoryRecords.withSnapshotFooterRecord(9, TIME, 4, scratch(), new SnapshotFooterRecord()));
        KRaftVersionRecord version = new KRaftVersionRecord().setKRaftVersion((short) 1);
        print("kraft-version", none, MemoryRecords.withKRaftVersionRecord(1, TIME, 4, scratch(), version));
        var endpoints = new VotersRecord.EndpointCollection();
        endpoints.add(new VotersRecord.Endpoint().setName("CONTROLLER").setHost("localhost").setPort(9093));
        VotersRecord voters = new VotersRecord().setVoters(List.of(new VotersRecord.Voter().setVoterId(1)
            .setVoterDirectoryId(new Uuid(1, 2)).setEndpoints(endpoints)
            .setKRaftVersionFeature(new VotersRecord.KRaftVersionFeature().setMaxSupportedVersion((short) 1))));
        print("voters", none, MemoryRecords.withVotersRecord(2, TIME, 4, scratch(), voters));
    }

    /** Before magic 2 there are neither headers nor producers; zstd is not allowed, and magic 0 has no timestamp. */
    private void printLegacy(byte magic) throws Exception {
        for (CompressionType codec : CompressionType.values()) {
            if (codec != CompressionType.ZSTD) {
                print("few", codec, few(builder(magic, codec, CREATE, 0), new Header[0]));
                print("many", codec, many(builder(magic, codec, CREATE, 1000)));
                print("blocks", codec, blocks(builder(magic, codec, CREATE, 7)));
                print("gaps", codec, gaps(builder(magic, codec, CREATE, 5)));
            }
            if (magic == 1 && codec != CompressionType.ZSTD) {
                print("log-append-time", codec, few(builder(magic, codec, TimestampType.LOG_APPEND_TIME, 3), new Header[0]));
            }
        }
    }

    private static MemoryRecordsBuilder builder(byte magic, CompressionType codec, TimestampType type, long baseOffset) {
        long appendTime = type == CREATE ? RecordBatch.NO_TIMESTAMP : TIME + 500;
        return MemoryRecords.builder(scratch(), magic, Compression.of(codec).build(), type, baseOffset, appendTime, 6);
    }

    private static MemoryRecordsBuilder producer(long id, short epoch, int sequence, boolean transactional, boolean control,
                                                 long baseOffset) {
        return MemoryRecords.builder(scratch(), (byte) 2, Compression.NONE, CREATE, baseOffset, RecordBatch.NO_TIMESTAMP, id, epoch,
            sequence, transactional, control, 8);
    }

    private static MemoryRecordsBuilder horizon() {
        return new MemoryRecordsBuilder(new ByteBufferOutputStream(scratch()), (byte) 2, Compression.NONE, CREATE, 40,
            RecordBatch.NO_TIMESTAMP, -1, (short) -1, -1, false, false, 3, LIMIT, TIME + 86_400_000);
    }

    private static MemoryRecords few(MemoryRecordsBuilder builder, Header[] headers) {
        long time = builder.magic() == 0 ? RecordBatch.NO_TIMESTAMP : TIME;
        append(builder, time, bytes("key"), bytes("value"), new Header[0]);
        append(builder, time + (builder.magic() == 0 ? 0 : 7), null, bytes("no key"), headers);
        append(builder, time - (builder.magic() == 0 ? 0 : 7), bytes("no value"), null, headers);
        append(builder, time, new byte[0], new byte[0], new Header[0]);
        return builder.build();
    }

    private static void append(MemoryRecordsBuilder builder, long time, byte[] key, byte[] value, Header[] headers) {
        if (headers.length == 0) {
            builder.append(time, key, value);
        } else {
            builder.append(time, key, value, headers);
        }
    }

    private static MemoryRecords many(MemoryRecordsBuilder builder) {
        for (int i = 0; i < 100; i++) {
            long time = builder.magic() == 0 ? RecordBatch.NO_TIMESTAMP : TIME + 300L * i;
            builder.append(time, bytes("k" + i % 3), bytes("value ".repeat(i % 20)));
        }
        return builder.build();
    }

    /** Longer than a block of any codec's framing (32 KB of snappy's, 64 KB of lz4's), in patterns that pack well. */
    private static MemoryRecords blocks(MemoryRecordsBuilder builder) {
        long time = builder.magic() == 0 ? RecordBatch.NO_TIMESTAMP : TIME;
        builder.append(time, null, bytes("0123456789abcdef".repeat(5000)));
        builder.append(time, null, bytes("fedcba98".repeat(9000)));
        return builder.build();
    }

    /** What compaction leaves behind. */
    private static MemoryRecords gaps(MemoryRecordsBuilder builder) {
        long time = builder.magic() == 0 ? RecordBatch.NO_TIMESTAMP : TIME;
        for (long offset : new long[] {6, 9, 300}) {
            builder.appendWithOffset(offset, time, bytes("k" + offset), bytes("v"));
        }
        return builder.build();
    }

    private static MemoryRecords farTimestamps(MemoryRecordsBuilder builder) {
        for (long time : new long[] {TIME, 0, 253_402_300_799_999L, 1}) {
            builder.append(time, null, bytes("t" + time));
        }
        return builder.build();
    }

    private static MemoryRecords join(MemoryRecords first, MemoryRecords second) {
        ByteBuffer both = ByteBuffer.allocate(first.sizeInBytes() + second.sizeInBytes());
        both.put(first.buffer()).put(second.buffer()).flip();
        return MemoryRecords.readableRecords(both);
    }

    private void print(String name, CompressionType codec, MemoryRecords records) throws Exception {
        ObjectNode line = JSON.createObjectNode();
        byte magic = records.batches().iterator().next().magic();
        line.put("name", name + "-magic" + magic + "-" + codec.name).put("release", release);
        line.put("magic", magic).put("codec", codec.name);
        byte[] bytes = new byte[records.sizeInBytes()];
        records.buffer().duplicate().get(bytes);
        line.put("bytes", Base64.getEncoder().encodeToString(bytes));
        describe(records, bytes, line.putArray("batches"), line.putArray("records"));
        out.println(JSON.writeValueAsString(line));
    }

    private static void describe(MemoryRecords records, byte[] bytes, ArrayNode batches, ArrayNode flat) {
        int position = 0;
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            ObjectNode node = batches.addObject();
            boolean isCurrent = batch.magic() == 2;
            node.put("base_offset", batch.baseOffset()).put("last_offset", batch.lastOffset());
            node.put("leader_epoch", batch.partitionLeaderEpoch());
            node.put("attributes", isCurrent ? Integer.valueOf(ByteBuffer.wrap(bytes).getShort(position + 21)) : null);
            node.put("timestamp_type", batch.timestampType().name).put("max_timestamp", batch.maxTimestamp());
            node.put("producer_id", batch.producerId()).put("producer_epoch", batch.producerEpoch());
            node.put("base_sequence", batch.baseSequence()).put("crc", batch.checksum());
            node.put("size_bytes", batch.sizeInBytes()).put("transactional", batch.isTransactional());
            node.put("control", batch.isControlBatch());
            node.put("delete_horizon_ms", isCurrent && batch.deleteHorizonMs().isPresent()
                ? Long.valueOf(batch.deleteHorizonMs().getAsLong()) : null);
            position += batch.sizeInBytes();
            for (Record record : batch) {
                describe(record, flat.addObject());
            }
        }
    }

    private static void describe(Record record, ObjectNode node) {
        node.put("offset", record.offset()).put("timestamp", record.timestamp()).put("sequence", record.sequence());
        node.put("key", base64(record.key())).put("value", base64(record.value()));
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(base64(header.value() == null ? null : ByteBuffer.wrap(header.value())));
        }
    }

    private static String base64(ByteBuffer buffer) {
        if (buffer == null) {
            return null;
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return Base64.getEncoder().encodeToString(bytes);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static ByteBuffer scratch() {
        return ByteBuffer.allocate(LIMIT);
    }
}
