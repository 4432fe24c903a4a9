package bench.streams;

import bench.common.Parcel;
import bench.common.Truth;
import java.util.Arrays;
import org.apache.kafka.common.utils.Bytes;

/**
 * One change of an outlet's counts on its way through the repartition topic, and the counts of a pane.
 *
 * <pre>
 * change   what (1), category (1), pane (4)
 * key      outlet ..., category (1), pane (4)
 * counts   collected or duplicates (4), covered on time (4), covered late (4)
 * </pre>
 */
final class Change {
    static final int COLLECTED = 1;
    static final int ON_TIME = 2;
    static final int LATE = 4;

    private static final int DUPLICATED = 8;
    private static final byte OF_DUPLICATES = 0x7f; // In place of a category.
    private static final int COUNTS = 3;

    static final byte[] DUPLICATE = {DUPLICATED, OF_DUPLICATES, 0, 0, 0, 0};

    private Change() {}

    static byte[] pack(int what, byte category, long collectedMs) {
        byte[] change = new byte[6];
        change[0] = (byte) what;
        change[1] = category;
        putInt(change, 2, (int) (collectedMs / Parcel.PANE_MS));
        return change;
    }

    static Bytes key(byte[] outlet, byte[] change) {
        byte[] key = Arrays.copyOf(outlet, outlet.length + 5);
        System.arraycopy(change, 1, key, outlet.length, 5);
        return Bytes.wrap(key);
    }

    /** The counts of a pane after a change; {@code before} is null for a new one, and never altered. */
    static byte[] added(byte[] before, byte[] change) {
        byte[] counts = before == null ? new byte[4 * COUNTS] : before.clone();
        int what = change[0];
        if ((what & (COLLECTED | DUPLICATED)) != 0) {
            increment(counts, 0);
        }
        if ((what & ON_TIME) != 0) {
            increment(counts, 4);
        }
        if ((what & LATE) != 0) {
            increment(counts, 8);
        }
        return counts;
    }

    static int outletLength(byte[] key) {
        return key.length - 5;
    }

    /** Adds a pane's counts to its outlet's figures, in the order of {@link Truth}. */
    static void addTo(long[] figures, byte[] key, byte[] counts) {
        if (key[outletLength(key)] == OF_DUPLICATES) {
            figures[Truth.FIGURES - 1] += getInt(counts, 0);
            return;
        }
        for (int i = 0; i < COUNTS; i++) {
            figures[i] += getInt(counts, 4 * i);
        }
    }

    private static void increment(byte[] bytes, int at) {
        putInt(bytes, at, getInt(bytes, at) + 1);
    }

    private static void putInt(byte[] bytes, int at, int value) {
        for (int i = 3; i >= 0; i--) {
            bytes[at + i] = (byte) value;
            value >>>= 8;
        }
    }

    private static int getInt(byte[] bytes, int at) {
        return (bytes[at] & 0xff) << 24
                | (bytes[at + 1] & 0xff) << 16
                | (bytes[at + 2] & 0xff) << 8
                | bytes[at + 3] & 0xff;
    }
}
