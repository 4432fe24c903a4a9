package bench.streams;

import bench.common.Measurement;
import bench.common.Parcel;
import bench.common.ShipmentParser;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Joins the records of a waybill, and forwards what that changes, keyed by outlet. */
final class Join implements Processor<byte[], byte[], byte[], byte[]> {
    static final String STORE = "parcels";

    private final Measurement measurement;
    private final LongAdder forwarded;
    private final ShipmentParser shipment = new ShipmentParser();
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> parcels;

    Join(Measurement measurement, LongAdder forwarded) {
        this.measurement = measurement;
        this.forwarded = forwarded;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        parcels = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        if (record.key() == null) {
            return; // A heartbeat: it is of use to others.
        }
        measurement.seen();
        shipment.parse(record.value());
        Bytes waybill = Bytes.wrap(record.key());
        byte[] known = parcels.get(waybill);
        if (shipment.collected) {
            collected(record, waybill, known);
        } else {
            registered(record, waybill, known);
        }
        measurement.joined.increment();
    }

    private void collected(Record<byte[], byte[]> record, Bytes waybill, byte[] known) {
        if (known == null) {
            parcels.put(waybill, Parcel.collected(shipment.outlet, shipment.category, shipment.timeMs));
            forward(record, shipment.outlet, Change.pack(Change.COLLECTED, shipment.category, shipment.timeMs));
        } else if (Parcel.isRegistered(known)) {
            parcels.put(waybill, Parcel.JOINED);
            int covered = covered(Parcel.registeredMs(known) - shipment.timeMs);
            byte[] change = Change.pack(Change.COLLECTED | covered, shipment.category, shipment.timeMs);
            forward(record, shipment.outlet, change);
        }
    }

    private void registered(Record<byte[], byte[]> record, Bytes waybill, byte[] known) {
        if (known == null) {
            parcels.put(waybill, Parcel.registered(shipment.timeMs));
        } else if (Parcel.isCollected(known)) {
            parcels.put(waybill, Parcel.JOINED);
            long collectedMs = Parcel.collectedMs(known);
            int covered = covered(shipment.timeMs - collectedMs);
            forward(record, Parcel.outlet(known), Change.pack(covered, Parcel.category(known), collectedMs));
        } else {
            forward(record, shipment.outlet, Change.DUPLICATE);
        }
    }

    private static int covered(long delayMs) {
        return delayMs <= Parcel.ON_TIME_LIMIT_MS ? Change.ON_TIME : Change.LATE;
    }

    private void forward(Record<byte[], byte[]> record, String outlet, byte[] change) {
        forwarded.increment();
        context.forward(new Record<>(outlet.getBytes(StandardCharsets.ISO_8859_1), change, record.timestamp()));
    }
}
