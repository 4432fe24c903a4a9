package bench.flink;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** What the join needs of a record. Reused from record to record. */
public final class Event {
    private static final byte REGISTERED = 4; // In place of a category.

    String waybill;
    String outlet;
    boolean collected;
    byte category;
    long timeMs;

    /** Written by hand: Flink's own serializer of plain classes costs several times as much. */
    static final class Serializer extends ReusedSerializer<Event> {
        @Override
        public TypeSerializer<Event> duplicate() {
            return new Serializer();
        }

        @Override
        public Event createInstance() {
            return new Event();
        }

        @Override
        public Event copy(Event from) {
            Event copy = new Event();
            copy.waybill = from.waybill;
            copy.outlet = from.outlet;
            copy.collected = from.collected;
            copy.category = from.category;
            copy.timeMs = from.timeMs;
            return copy;
        }

        @Override
        public void serialize(Event event, DataOutputView out) throws IOException {
            out.writeByte(event.collected ? event.category : REGISTERED);
            out.writeLong(event.timeMs);
            writeText(event.waybill, out);
            writeText(event.outlet, out);
        }

        @Override
        public Event deserialize(DataInputView in) throws IOException {
            Event event = new Event();
            event.category = in.readByte();
            event.collected = event.category < REGISTERED;
            event.timeMs = in.readLong();
            event.waybill = readText(in);
            event.outlet = readText(in);
            return event;
        }

        @Override
        public TypeSerializerSnapshot<Event> snapshotConfiguration() {
            return new Snapshot();
        }
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Event> {
        public Snapshot() {
            super(Serializer::new);
        }
    }
}
