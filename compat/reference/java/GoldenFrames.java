import java.io.File;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Enumeration;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Prints one JSON line per (message, version, variant) of the Kafka release on the class path.
 *
 * Arguments: the folder of the jars, the release's name. Every frame is read back: the bytes and the JSON must be equal.
 */
public final class GoldenFrames {
    private static final ObjectMapper JSON = new ObjectMapper().configure(JsonParser.Feature.ALLOW_COMMENTS, true);
    private static final String CONVERTER = "JsonConverter";

    private final String release;
    private final PrintStream out;

    private GoldenFrames(String release, PrintStream out) {
        this.release = release;
        this.out = out;
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        GoldenFrames frames = new GoldenFrames(arguments[1], out);
        Map<String, Class<?>> classes = new TreeMap<>();
        Map<String, JsonNode> specs = new TreeMap<>();
        for (File jar : new File(arguments[0]).listFiles((folder, name) -> name.matches("kafka.*\\.jar"))) {
            scan(jar, classes, specs);
        }
        for (Class<?> message : classes.values()) {
            frames.printMessage(message, specs);
        }
        out.flush();
    }

    private static void scan(File file, Map<String, Class<?>> classes, Map<String, JsonNode> specs) throws Exception {
        try (JarFile jar = new JarFile(file)) {
            for (Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements();) {
                JarEntry entry = entries.nextElement();
                String path = entry.getName();
                if (path.endsWith(CONVERTER + ".class") && !path.contains("$")) {
                    String name = path.substring(0, path.length() - (CONVERTER + ".class").length()).replace('/', '.');
                    classes.put(name, Class.forName(name));
                } else if (path.endsWith(".json") && path.matches("(common/)?(message|metadata)/.*")) {
                    JsonNode spec = JSON.readTree(jar.getInputStream(entry));
                    specs.put(spec.get("name").asText(), spec);
                }
            }
        }
    }

    /** A request's class is called after its spec plus "Data"; other classes just after their spec. */
    private void printMessage(Class<?> message, Map<String, JsonNode> specs) throws Exception {
        String name = message.getSimpleName();
        if (!specs.containsKey(name)) {
            name = name.substring(0, name.length() - "Data".length());
        }
        String type = specs.get(name).get("type").asText();
        short lowest = message.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
        short highest = message.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
        for (short version = lowest; version <= highest; version++) {
            Set<String> nullable = nullableFields(message, version);
            long seed = (name + "#" + version).hashCode();
            print(message, name, type, version, "nulls", new Filler(version, new Values.Nulls(), nullable, false));
            print(message, name, type, version, "edges", new Filler(version, new Values.Edges(), nullable, false));
            print(message, name, type, version, "random", new Filler(version, new Values.Seeded(seed), nullable, false));
            if (Fields.isFlexible(message, version)) {
                Values values = new Values.Seeded(seed + 1);
                print(message, name, type, version, "unknown_tags", new Filler(version, values, nullable, true));
            }
        }
    }

    /**
     * Which fields may be null: found by trying, because 3.9's schemas are not exact about it.
     *
     * A null that is written in silence but doesn't come back counts as not allowed.
     */
    private static Set<String> nullableFields(Class<?> message, short version) throws Exception {
        Set<String> nullable = new TreeSet<>();
        for (String field : fill(message, version, new Filler(version, new Values.Edges(), Set.of(), false)).keySet()) {
            Filler filler = new Filler(version, new Values.Edges(), Set.of(), false);
            Message sample = (Message) message.getConstructor().newInstance();
            filler.fill(sample, "", 0);
            filler.nullings.get(field).forEach(Runnable::run);
            try {
                byte[] bytes = write(sample, version);
                if (toJson(message, sample, version).equals(toJson(message, read(message, version, bytes), version))) {
                    nullable.add(field);
                }
            } catch (NullPointerException refused) {
                // Kafka's own way to say that this field may not be null in this version.
                continue;
            }
        }
        return nullable;
    }

    private static Map<String, ?> fill(Class<?> message, short version, Filler filler) throws Exception {
        filler.fill((Message) message.getConstructor().newInstance(), "", 0);
        return filler.nullings;
    }

    private void print(Class<?> message, String name, String type, short version, String variant, Filler filler)
            throws Exception {
        Message filled = (Message) message.getConstructor().newInstance();
        filler.fill(filled, "", 0);
        byte[] bytes = write(filled, version);
        JsonNode value = toJson(message, filled, version);
        Message again = read(message, version, bytes);
        if (!value.equals(toJson(message, again, version)) || !java.util.Arrays.equals(bytes, write(again, version))) {
            throw new IllegalStateException(name + " v" + version + " " + variant + " does not survive a round trip");
        }
        ObjectNode line = JSON.createObjectNode();
        line.put("name", name).put("class", message.getName()).put("type", type);
        line.put("api_key", filled instanceof ApiMessage api ? Integer.valueOf(api.apiKey()) : null);
        line.put("version", version).put("flexible", Fields.isFlexible(message, version));
        line.put("release", release).put("variant", variant);
        line.put("bytes", Base64.getEncoder().encodeToString(bytes));
        line.set("value", value);
        line.set("records", JSON.valueToTree(filler.records));
        line.set("unknown_tags", JSON.valueToTree(filler.unknownTags));
        out.println(JSON.writeValueAsString(line));
    }

    private static byte[] write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException(message.getClass() + " wrote less than its size");
        }
        return buffer.array();
    }

    private static Message read(Class<?> type, short version, byte[] bytes) throws ReflectiveOperationException {
        Message message = (Message) type.getConstructor().newInstance();
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        message.read(new ByteBufferAccessor(buffer), version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException(type + " left bytes unread");
        }
        return message;
    }

    private static JsonNode toJson(Class<?> type, Message message, short version) throws Exception {
        Method write = Class.forName(type.getName() + CONVERTER).getMethod("write", type, short.class);
        return JSON.readTree(JSON.writeValueAsString(write.invoke(null, message, version)));
    }
}
