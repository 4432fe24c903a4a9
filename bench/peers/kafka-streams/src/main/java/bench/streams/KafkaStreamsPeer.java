package bench.streams;

import bench.common.Measurement;
import bench.common.Options;
import bench.common.Truth;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The work on Kafka Streams, exactly once: shipments, {@link Join} by waybill, repartition by outlet,
 * {@link CountPanes}. Both states are logged. Done when all offsets are committed, which in a transaction
 * includes the change logs.
 */
public final class KafkaStreamsPeer {
    private static final int PARTITIONS = 4;
    private static final String REPARTITION = "by-outlet";
    private static final long LOOK_MS = 20;

    private final Options options = new Options();
    private final Truth truth = new Truth(options.truth);
    private final Measurement measurement = new Measurement(truth.records, options.brokerPid);
    private final LongAdder forwarded = new LongAdder();
    private final CountPanes.Progress counted = new CountPanes.Progress();

    private KafkaStreamsPeer() throws Exception {}

    public static void main(String[] arguments) throws Exception {
        new KafkaStreamsPeer().run();
    }

    private void run() throws Exception {
        Properties config = config();
        KafkaStreams streams = new KafkaStreams(topology(config), config);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.bootstrap))) {
            Map<TopicPartition, Long> ends = ends(admin);
            streams.start();
            await(admin, ends);
            measurement.durable();
            measurement.print(truth.differing(totals(streams)));
        }
        streams.close();
        streams.cleanUp();
        System.exit(0);
    }

    private Topology topology(Properties config) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(store(Join.STORE));
        builder.addStateStore(store(CountPanes.STORE));
        builder.stream(options.topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .process(() -> new Join(measurement, forwarded), Join.STORE)
                .repartition(Repartitioned.with(Serdes.ByteArray(), Serdes.ByteArray())
                        .withName(REPARTITION)
                        .withNumberOfPartitions(PARTITIONS))
                .process(() -> new CountPanes(counted), CountPanes.STORE);
        return builder.build(config);
    }

    /** A logged store without Streams' record cache: that costs more here than the writes that it saves. */
    private StoreBuilder<KeyValueStore<Bytes, byte[]>> store(String name) {
        KeyValueBytesStoreSupplier supplier =
                options.rocksDb ? Stores.persistentKeyValueStore(name) : Stores.inMemoryKeyValueStore(name);
        return Stores.keyValueStoreBuilder(supplier, Serdes.Bytes(), Serdes.ByteArray())
                .withLoggingEnabled(Map.of())
                .withCachingDisabled();
    }

    private Properties config() {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, options.group);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.bootstrap);
        config.put(StreamsConfig.STATE_DIR_CONFIG, options.stateDir.toString());
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, options.parallelism);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        config.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        if (options.rocksDb) {
            config.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, RocksDbTuning.class);
        }
        consumer(config, ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        consumer(config, ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 5000);
        consumer(config, ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 4 << 20);
        consumer(config, ConsumerConfig.FETCH_MAX_BYTES_CONFIG, 16 << 20);
        producer(config, ProducerConfig.BATCH_SIZE_CONFIG, 256 << 10);
        producer(config, ProducerConfig.LINGER_MS_CONFIG, 100);
        producer(config, ProducerConfig.BUFFER_MEMORY_CONFIG, 128L << 20);
        producer(config, ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4");
        return config;
    }

    private static void consumer(Properties config, String name, Object value) {
        config.put(StreamsConfig.consumerPrefix(name), value);
    }

    private static void producer(Properties config, String name, Object value) {
        config.put(StreamsConfig.producerPrefix(name), value);
    }

    private Map<TopicPartition, Long> ends(Admin admin) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            wanted.put(new TopicPartition(options.topic, partition), OffsetSpec.latest());
        }
        Map<TopicPartition, Long> ends = new HashMap<>();
        admin.listOffsets(wanted).all().get().forEach((place, found) -> ends.put(place, found.offset()));
        return ends;
    }

    /** Returns when both inputs are processed to their ends and the group has committed that. */
    private void await(Admin admin, Map<TopicPartition, Long> ends) throws Exception {
        long deadlineNs = System.nanoTime() + options.timeoutS * 1_000_000_000L;
        while (true) {
            Thread.sleep(LOOK_MS);
            if (System.nanoTime() > deadlineNs) {
                System.err.println("out of time at " + measurement.joined.sum() + " records");
                System.exit(3);
            }
            if (!measurement.allJoined() || counted.applied.sum() < forwarded.sum()) {
                continue;
            }
            measurement.processed();
            String repartition = options.group + "-" + REPARTITION + "-repartition";
            counted.offsets.forEach(
                    (partition, last) -> ends.put(new TopicPartition(repartition, partition), last + 1));
            Map<TopicPartition, OffsetAndMetadata> committed =
                    admin.listConsumerGroupOffsets(options.group)
                            .partitionsToOffsetAndMetadata()
                            .get();
            if (reached(ends, committed)) {
                return;
            }
        }
    }

    private static boolean reached(Map<TopicPartition, Long> ends, Map<TopicPartition, OffsetAndMetadata> committed) {
        return ends.entrySet().stream().allMatch(end -> {
            OffsetAndMetadata at = committed.get(end.getKey());
            return at != null && at.offset() >= end.getValue();
        });
    }

    private Map<String, long[]> totals(KafkaStreams streams) {
        var panes = streams.store(
                StoreQueryParameters.fromNameAndType(CountPanes.STORE, QueryableStoreTypes.<Bytes, byte[]>keyValueStore()));
        Map<String, long[]> totals = new HashMap<>();
        try (KeyValueIterator<Bytes, byte[]> all = panes.all()) {
            while (all.hasNext()) {
                var pane = all.next();
                byte[] key = pane.key.get();
                String outlet = new String(key, 0, Change.outletLength(key), StandardCharsets.ISO_8859_1);
                long[] figures = totals.computeIfAbsent(outlet, unknown -> new long[Truth.FIGURES]);
                Change.addTo(figures, key, pane.value);
            }
        }
        return totals;
    }
}
