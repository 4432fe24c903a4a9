package bench.flink;

import bench.common.Parcel;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Joins the records of a waybill, and emits what that changes. */
final class Join extends KeyedProcessFunction<String, Event, Delta> {
    private transient ValueState<byte[]> parcel;
    private transient Delta delta;

    @Override
    public void open(OpenContext context) {
        parcel = getRuntimeContext()
                .getState(new ValueStateDescriptor<>(
                        "parcel", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
        delta = new Delta();
    }

    @Override
    public void processElement(Event event, Context context, Collector<Delta> out) throws Exception {
        byte[] known = parcel.value();
        if (event.collected) {
            collected(event, known, out);
        } else {
            registered(event, known, out);
        }
        Progress.measurement.joined.increment();
    }

    private void collected(Event event, byte[] known, Collector<Delta> out) throws Exception {
        int slot = Delta.slot(event.category, event.timeMs);
        if (known == null) {
            parcel.update(Parcel.collected(event.outlet, event.category, event.timeMs));
            emit(out, event.outlet, slot, Delta.COLLECTED);
        } else if (Parcel.isRegistered(known)) {
            parcel.update(Parcel.JOINED);
            long covered = covered(Parcel.registeredMs(known) - event.timeMs);
            emit(out, event.outlet, slot, Delta.COLLECTED | covered);
        }
    }

    private void registered(Event event, byte[] known, Collector<Delta> out) throws Exception {
        if (known == null) {
            parcel.update(Parcel.registered(event.timeMs));
        } else if (Parcel.isCollected(known)) {
            parcel.update(Parcel.JOINED);
            long collectedMs = Parcel.collectedMs(known);
            int slot = Delta.slot(Parcel.category(known), collectedMs);
            emit(out, Parcel.outlet(known), slot, covered(event.timeMs - collectedMs));
        } else {
            emit(out, event.outlet, Delta.DUPLICATES, 1);
        }
    }

    private static long covered(long delayMs) {
        return delayMs <= Parcel.ON_TIME_LIMIT_MS ? Delta.ON_TIME : Delta.LATE;
    }

    private void emit(Collector<Delta> out, String outlet, int slot, long counts) {
        delta.outlet = outlet;
        delta.slot = slot;
        delta.counts = counts;
        out.collect(delta);
    }
}
