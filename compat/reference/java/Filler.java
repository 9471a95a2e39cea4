import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.types.RawTaggedField;

/**
 * Fills one message at one version and notes what Kafka's JSON leaves out: record bytes and unknown tags.
 *
 * A place is written "topics[1].partitions[0].records"; with the numbers taken out, "topics[].partitions[].records", it
 * names a field for `nullable`. The struct itself is "".
 */
final class Filler {
    private final short version;
    private final Values values;
    private final Set<String> nullable;
    private final boolean withUnknownTags;
    final Map<String, String> records = new TreeMap<>();
    final Map<String, List<Object>> unknownTags = new TreeMap<>();
    /** Every place with a Java reference in it, by its field's name: where null might be allowed. */
    final Map<String, List<Runnable>> nullings = new TreeMap<>();

    Filler(short version, Values values, Set<String> nullable, boolean withUnknownTags) {
        this.version = version;
        this.values = values;
        this.nullable = nullable;
        this.withUnknownTags = withUnknownTags;
    }

    static String fieldOf(String place) {
        return place.replaceAll("\\[\\d+]", "[]");
    }

    void fill(Message struct, String place, int depth) throws ReflectiveOperationException {
        for (Fields.Slot slot : Fields.of(struct.getClass(), version)) {
            String here = place.isEmpty() ? slot.name() : place + "." + slot.name();
            boolean isNull = nullable.contains(fieldOf(here)) && values.isNull();
            slot.set(struct, isNull ? null : value(slot, here, depth));
            if (isNull && isRecords(slot.field().getType())) {
                records.put(here, null);
            }
            if (!slot.field().getType().isPrimitive()) {
                nullings.computeIfAbsent(fieldOf(here), name -> new ArrayList<>()).add(() -> setNull(slot, struct));
            }
        }
        if (withUnknownTags && Fields.isFlexible(struct.getClass(), version)) {
            addUnknownTags(struct, place);
        }
    }

    private static void setNull(Fields.Slot slot, Message struct) {
        try {
            slot.set(struct, null);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    private Object value(Fields.Slot slot, String place, int depth) throws ReflectiveOperationException {
        if (slot.isArray()) {
            return array(slot, place, depth);
        }
        if (slot.isStruct()) {
            return struct(slot.field().getType(), place, depth);
        }
        return isRecords(slot.field().getType()) ? records(slot.field().getType(), place)
            : scalar(slot.field().getType(), slot.schemaName());
    }

    @SuppressWarnings("unchecked")
    private Collection<Object> array(Fields.Slot slot, String place, int depth) throws ReflectiveOperationException {
        Class<?> type = slot.field().getType();
        Class<?> element = slot.elementClass();
        boolean ofStructs = Message.class.isAssignableFrom(element);
        Collection<Object> array = type == List.class ? new ArrayList<>()
            : (Collection<Object>) type.getConstructor().newInstance();
        int count = values.count(depth, ofStructs);
        for (int i = 0; i < count; i++) {
            array.add(ofStructs ? struct(element, place + "[" + i + "]", depth) : scalar(element, slot.schemaName()));
        }
        return array;
    }

    private Message struct(Class<?> type, String place, int depth) throws ReflectiveOperationException {
        Message struct = (Message) type.getConstructor().newInstance();
        fill(struct, place, depth + 1);
        return struct;
    }

    private Object scalar(Class<?> type, String schemaName) {
        if (type == boolean.class || type == Boolean.class) {
            return values.bool();
        } else if (type == byte.class || type == Byte.class) {
            return (byte) values.integer(Byte.MIN_VALUE, Byte.MAX_VALUE);
        } else if (type == short.class || type == Short.class) {
            return (short) values.integer(Short.MIN_VALUE, Short.MAX_VALUE);
        } else if (type == int.class || type == Integer.class) {
            boolean isUnsigned = schemaName.equals("UINT16");
            return (int) (isUnsigned ? values.integer(0, 0xffff) : values.integer(Integer.MIN_VALUE, Integer.MAX_VALUE));
        } else if (type == long.class || type == Long.class) {
            boolean isUnsigned = schemaName.equals("UINT32");
            return isUnsigned ? values.integer(0, 0xffffffffL) : values.integer(Long.MIN_VALUE, Long.MAX_VALUE);
        } else if (type == double.class || type == Double.class) {
            return values.floating();
        } else if (type == String.class) {
            return values.string();
        } else if (type == byte[].class) {
            return values.bytes();
        } else if (type == ByteBuffer.class) {
            return ByteBuffer.wrap(values.bytes());
        } else if (type == Uuid.class) {
            return values.uuid();
        }
        throw new IllegalStateException("no value for " + type);
    }

    private static boolean isRecords(Class<?> type) {
        return type.getSimpleName().equals("BaseRecords");
    }

    /** `MemoryRecords` of any bytes; it moved between the releases, so it is found beside its interface. */
    private Object records(Class<?> type, String place) throws ReflectiveOperationException {
        byte[] bytes = values.bytes();
        records.put(place, Base64.getEncoder().encodeToString(bytes));
        return Class.forName(type.getPackageName() + ".MemoryRecords")
            .getMethod("readableRecords", ByteBuffer.class).invoke(null, ByteBuffer.wrap(bytes));
    }

    private void addUnknownTags(Message struct, String place) throws ReflectiveOperationException {
        int first = Fields.firstUnknownTag(struct.getClass());
        List<Object> noted = new ArrayList<>();
        for (int tag : new int[] {first, first + 200}) {
            byte[] data = values.bytes();
            struct.unknownTaggedFields().add(new RawTaggedField(tag, data));
            noted.add(List.of(tag, Base64.getEncoder().encodeToString(data)));
        }
        unknownTags.put(place, noted);
    }
}
