import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;

/**
 * What a generated message class holds at one version: its schema's fields matched to its Java fields.
 *
 * The schema is walked, not the class, because writing a field that the version lacks is an error.
 */
final class Fields {
    /** One field of one struct at one version; `schemaName` is "INT32", "UINT16" and so on for scalars. */
    record Slot(Field field, String schemaName) {
        String name() {
            return field.getName();
        }

        Object get(Message owner) throws ReflectiveOperationException {
            return field.get(owner);
        }

        void set(Message owner, Object value) throws ReflectiveOperationException {
            field.set(owner, value);
        }

        boolean isArray() {
            return Collection.class.isAssignableFrom(field.getType());
        }

        boolean isStruct() {
            return Message.class.isAssignableFrom(field.getType());
        }

        /** The class of an array's elements: List&lt;X&gt; says it itself, XCollection in its superclass. */
        Class<?> elementClass() {
            Type type = field.getGenericType() instanceof ParameterizedType ? field.getGenericType()
                : field.getType().getGenericSuperclass();
            return (Class<?>) ((ParameterizedType) type).getActualTypeArguments()[0];
        }
    }

    private Fields() { }

    /** The fields that a struct has at a version, tagged ones last; empty where the version lacks the struct. */
    static List<Slot> of(Class<?> struct, short version) throws ReflectiveOperationException {
        List<Slot> slots = new ArrayList<>();
        for (BoundField bound : schema(struct, version).fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (var entry : new TreeMap<>(tags(tagged)).entrySet()) {
                    slots.add(slot(struct, entry.getValue()));
                }
            } else {
                slots.add(slot(struct, bound.def));
            }
        }
        return slots;
    }

    static boolean isFlexible(Class<?> struct, short version) throws ReflectiveOperationException {
        for (BoundField bound : schema(struct, version).fields()) {
            if (bound.def.type instanceof TaggedFields) {
                return true;
            }
        }
        return false;
    }

    /** The lowest tag that no version of this struct uses. */
    static int firstUnknownTag(Class<?> struct) throws ReflectiveOperationException {
        int first = 0;
        for (Schema schema : (Schema[]) struct.getField("SCHEMAS").get(null)) {
            for (BoundField bound : schema == null ? new BoundField[0] : schema.fields()) {
                if (bound.def.type instanceof TaggedFields tagged) {
                    for (int tag : tags(tagged).keySet()) {
                        first = Math.max(first, tag + 1);
                    }
                }
            }
        }
        return first;
    }

    private static Schema schema(Class<?> struct, short version) throws ReflectiveOperationException {
        return ((Schema[]) struct.getField("SCHEMAS").get(null))[version];
    }

    /** `TaggedFields.fields()` is public in 4.3 only; the member behind it exists in both. */
    @SuppressWarnings("unchecked")
    private static Map<Integer, org.apache.kafka.common.protocol.types.Field> tags(TaggedFields tagged)
            throws ReflectiveOperationException {
        Field member = TaggedFields.class.getDeclaredField("fields");
        member.setAccessible(true);
        return (Map<Integer, org.apache.kafka.common.protocol.types.Field>) member.get(tagged);
    }

    private static Slot slot(Class<?> struct, org.apache.kafka.common.protocol.types.Field def) {
        for (Field field : struct.getDeclaredFields()) {
            if (field.getName().toLowerCase(Locale.ROOT).equals(def.name.replace("_", ""))) {
                field.setAccessible(true);
                String name = def.type.arrayElementType().orElse(def.type).toString();
                return new Slot(field, name);
            }
        }
        throw new IllegalStateException(struct + " has no field for " + def.name);
    }
}
