import java.util.Random;

import org.apache.kafka.common.Uuid;

/** Where a variant takes its scalars and sizes from. */
interface Values {
    long integer(long lowest, long highest);

    double floating();

    String string();

    byte[] bytes();

    Uuid uuid();

    boolean bool();

    /** How many elements an array gets; `depth` counts the structs around it. */
    int count(int depth, boolean ofStructs);

    /** Whether a field that may be null is null here. */
    boolean isNull();

    /** Zeros and empties; null wherever null is allowed. */
    final class Nulls implements Values {
        public long integer(long lowest, long highest) {
            return 0;
        }

        public double floating() {
            return 0;
        }

        public String string() {
            return "";
        }

        public byte[] bytes() {
            return new byte[0];
        }

        public Uuid uuid() {
            return Uuid.ZERO_UUID;
        }

        public boolean bool() {
            return false;
        }

        public int count(int depth, boolean ofStructs) {
            return ofStructs ? 1 : 0;
        }

        public boolean isNull() {
            return true;
        }
    }

    /** Each type walks through the values at the edges of its range, one step per use. */
    final class Edges implements Values {
        private static final double[] FLOATS = {Double.MAX_VALUE, Double.MIN_VALUE, Double.NEGATIVE_INFINITY, Double.NaN, -0.0};
        /** Lengths round the step from one to two bytes of a compact length; two, three and four bytes a character. */
        private static final String[] STRINGS = {
            "x".repeat(127), "", "é", "y".repeat(126), "\uD83D\uDE80\u0000\u20AC", "z".repeat(300),
        };
        private static final int[] LENGTHS = {127, 0, 126, 1};
        private static final Uuid[] UUIDS = {new Uuid(-1, -1), Uuid.ZERO_UUID, new Uuid(Long.MIN_VALUE, 1)};
        private static final int LONG_ARRAY = 130;
        private int step;

        public long integer(long lowest, long highest) {
            long[] edges = {highest, lowest, lowest < 0 ? -1 : highest / 2 + 1, 1};
            return edges[step++ % edges.length];
        }

        public double floating() {
            return FLOATS[step++ % FLOATS.length];
        }

        public String string() {
            return STRINGS[step++ % STRINGS.length];
        }

        public byte[] bytes() {
            byte[] bytes = new byte[LENGTHS[step++ % LENGTHS.length]];
            java.util.Arrays.fill(bytes, (byte) 0xff);
            return bytes;
        }

        public Uuid uuid() {
            return UUIDS[step++ % UUIDS.length];
        }

        public boolean bool() {
            return true;
        }

        public int count(int depth, boolean ofStructs) {
            return ofStructs ? 2 : depth == 0 ? LONG_ARRAY : 2;
        }

        public boolean isNull() {
            return false;
        }
    }

    /** Anything, from a seed. */
    final class Seeded implements Values {
        private static final String ALPHABET = "abcdefghijklmnopqrstuvwxyz-._0éß\u4E2D";
        private final Random random;

        Seeded(long seed) {
            random = new Random(seed);
        }

        /** Small values as often as ones of any magnitude, so that lengths of every size occur. */
        public long integer(long lowest, long highest) {
            long value = random.nextLong() >>> random.nextInt(64);
            if (lowest < 0 && random.nextInt(4) == 0) {
                value = -value;
            }
            return value < lowest || value > highest ? random.nextInt(100) : value;
        }

        public double floating() {
            return random.nextGaussian() * 1000;
        }

        public String string() {
            StringBuilder text = new StringBuilder();
            for (int left = random.nextInt(10); left > 0; left--) {
                text.append(ALPHABET.charAt(random.nextInt(ALPHABET.length())));
            }
            return text.toString();
        }

        public byte[] bytes() {
            byte[] bytes = new byte[random.nextInt(8)];
            random.nextBytes(bytes);
            return bytes;
        }

        public Uuid uuid() {
            return new Uuid(random.nextLong(), random.nextLong());
        }

        public boolean bool() {
            return random.nextBoolean();
        }

        public int count(int depth, boolean ofStructs) {
            return depth == 0 && ofStructs ? 1 + random.nextInt(2) : random.nextInt(3);
        }

        public boolean isNull() {
            return random.nextInt(4) == 0;
        }
    }
}
