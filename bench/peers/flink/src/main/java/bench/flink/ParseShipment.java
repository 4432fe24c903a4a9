package bench.flink;

import bench.common.ShipmentParser;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Makes an {@link Event} of a Kafka record. */
final class ParseShipment implements KafkaRecordDeserializationSchema<Event> {
    private transient ShipmentParser shipment;
    private transient Event event;

    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Event> out) {
        if (record.key() == null) {
            return; // A heartbeat: it is of use to others.
        }
        Progress.measurement.seen();
        if (shipment == null) {
            shipment = new ShipmentParser();
            event = new Event();
        }
        shipment.parse(record.value());
        event.waybill = new String(record.key(), StandardCharsets.ISO_8859_1);
        event.outlet = shipment.outlet;
        event.collected = shipment.collected;
        event.category = shipment.category;
        event.timeMs = shipment.timeMs;
        out.collect(event);
    }

    @Override
    public TypeInformation<Event> getProducedType() {
        return Info.EVENT;
    }
}
