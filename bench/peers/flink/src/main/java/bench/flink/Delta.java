package bench.flink;

import bench.common.Parcel;
import bench.common.Truth;
import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * A change of an outlet's counts in one slot.
 *
 * <p>Slot: category and pane, or {@link #DUPLICATES}. Counts: collected (or duplicates), covered on time and
 * covered late, 21 bits each in one number, so that they add up as one.
 */
public final class Delta {
    static final int DUPLICATES = 0x7f << 24;
    static final long COLLECTED = 1;
    static final long ON_TIME = 1L << 21;
    static final long LATE = 1L << 42;

    private static final long MASK = ON_TIME - 1;

    String outlet;
    int slot;
    long counts;

    static int slot(int category, long collectedMs) {
        return category << 24 | (int) (collectedMs / Parcel.PANE_MS);
    }

    /** Adds a slot's counts to its outlet's figures, in the order of {@link Truth}. */
    static void addTo(long[] figures, int slot, long counts) {
        if (slot == DUPLICATES) {
            figures[Truth.FIGURES - 1] += counts;
            return;
        }
        figures[0] += counts & MASK;
        figures[1] += counts >> 21 & MASK;
        figures[2] += counts >> 42;
    }

    static final class Serializer extends ReusedSerializer<Delta> {
        @Override
        public TypeSerializer<Delta> duplicate() {
            return new Serializer();
        }

        @Override
        public Delta createInstance() {
            return new Delta();
        }

        @Override
        public Delta copy(Delta from) {
            Delta copy = new Delta();
            copy.outlet = from.outlet;
            copy.slot = from.slot;
            copy.counts = from.counts;
            return copy;
        }

        @Override
        public void serialize(Delta delta, DataOutputView out) throws IOException {
            writeText(delta.outlet, out);
            out.writeInt(delta.slot);
            out.writeLong(delta.counts);
        }

        @Override
        public Delta deserialize(DataInputView in) throws IOException {
            Delta delta = new Delta();
            delta.outlet = readText(in);
            delta.slot = in.readInt();
            delta.counts = in.readLong();
            return delta;
        }

        @Override
        public TypeSerializerSnapshot<Delta> snapshotConfiguration() {
            return new Snapshot();
        }
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Delta> {
        public Snapshot() {
            super(Serializer::new);
        }
    }
}
