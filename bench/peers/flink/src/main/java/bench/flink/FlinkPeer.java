package bench.flink;

import bench.common.Measurement;
import bench.common.Options;
import bench.common.Truth;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointType;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.admin.Admin;

/**
 * The work on Flink, with exactly-once checkpoints every 5 s to the local disk: KafkaSource, {@link Join} by
 * waybill, {@link PreAggregate}, {@link CountPanes} by outlet.
 *
 * <p>Done when a checkpoint that was triggered after the last record had been joined is complete; it is
 * triggered at once, not left to the interval. The offsets that the source then commits to its group are for
 * information only and not waited for.
 */
public final class FlinkPeer {
    private static final long LOOK_MS = 10;
    private static final int PRE_AGGREGATED_HASHMAP = 1 << 16;
    private static final int PRE_AGGREGATED_ROCKSDB = 1 << 18;

    private final Options options = new Options();
    private final Truth truth = new Truth(options.truth);
    private final Measurement measurement = new Measurement(truth.records, options.brokerPid);

    private FlinkPeer() throws Exception {}

    public static void main(String[] arguments) throws Exception {
        new FlinkPeer().run();
    }

    private void run() throws Exception {
        Progress.measurement = measurement;
        Configuration config = config();
        try (MiniCluster cluster = new MiniCluster(new MiniClusterConfiguration.Builder()
                .setConfiguration(config)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(options.parallelism)
                .withRandomPorts()
                .build())) {
            cluster.start();
            JobID job = submit(cluster, config);
            await(cluster, job);
            measurement.durable();
            String savepoint = options.stateDir.resolve("savepoint").toUri().toString();
            cluster.stopWithSavepoint(job, savepoint, true, SavepointFormatType.NATIVE)
                    .get();
            measurement.print(truth.differing(Progress.TOTALS));
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", options.bootstrap))) {
            admin.deleteConsumerGroups(List.of(options.group));
        }
        System.exit(0);
    }

    private JobID submit(MiniCluster cluster, Configuration config) throws Exception {
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(options.parallelism, config);
        int size = options.rocksDb ? PRE_AGGREGATED_ROCKSDB : PRE_AGGREGATED_HASHMAP;
        environment
                .fromSource(source(), WatermarkStrategy.noWatermarks(), "shipments")
                .keyBy(event -> event.waybill, Types.STRING)
                .process(new Join(), Info.DELTA)
                .name("join")
                .transform("pre-aggregate", Info.DELTA, new PreAggregate(size))
                .keyBy(delta -> delta.outlet, Types.STRING)
                .transform("count panes", Types.VOID, new CountPanes.Operator());
        return cluster.submitJob(environment.getStreamGraph().getJobGraph()).get().getJobID();
    }

    private KafkaSource<Event> source() {
        return KafkaSource.<Event>builder()
                .setBootstrapServers(options.bootstrap)
                .setTopics(options.topic)
                .setGroupId(options.group)
                .setClientIdPrefix(options.group)
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new ParseShipment())
                .setProperty("commit.offsets.on.checkpoint", "true")
                .setProperty("register.consumer.metrics", "false")
                .setProperty("max.poll.records", "5000")
                .setProperty("max.partition.fetch.bytes", "4194304")
                .setProperty("receive.buffer.bytes", "1048576")
                .build();
    }

    private Configuration config() {
        Configuration config = new Configuration();
        config.setString("state.backend.type", options.rocksDb ? "rocksdb" : "hashmap");
        config.setString("execution.checkpointing.incremental", "true");
        config.setString("execution.checkpointing.storage", "filesystem");
        config.setString("execution.checkpointing.dir", folder("checkpoints"));
        config.setString("execution.checkpointing.interval", "5 s");
        config.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        config.setString("pipeline.object-reuse", "true");
        config.setString("pipeline.generic-types", "false");
        config.setString("io.tmp.dirs", options.stateDir.resolve("tmp").toString());
        config.setString("web.tmpdir", options.stateDir.resolve("tmp").toString());
        config.setString("taskmanager.memory.managed.size", options.rocksDb ? "1g" : "16m");
        config.setString("taskmanager.memory.network.min", "64m");
        config.setString("taskmanager.memory.network.max", "64m");
        if (options.rocksDb) {
            config.setString(
                    "state.backend.rocksdb.localdir", options.stateDir.resolve("rocksdb").toString());
            config.setString("state.backend.rocksdb.use-bloom-filter", "true");
            config.setString("state.backend.rocksdb.compression.per.level", "NO_COMPRESSION");
        }
        return config;
    }

    private String folder(String name) {
        return options.stateDir.resolve(name).toUri().toString();
    }

    private void await(MiniCluster cluster, JobID job) throws Exception {
        long deadlineNs = System.nanoTime() + options.timeoutS * 1_000_000_000L;
        CompletableFuture<Long> last = null;
        while (true) {
            Thread.sleep(LOOK_MS);
            if (System.nanoTime() > deadlineNs) {
                System.err.println("out of time at " + measurement.joined.sum() + " records");
                System.exit(3);
            }
            if (!measurement.allJoined()) {
                continue;
            }
            measurement.processed();
            // Refused while another one is under way: then again.
            if (last == null || last.isCompletedExceptionally()) {
                last = cluster.triggerCheckpoint(job, CheckpointType.CONFIGURED);
            }
            if (last.isDone() && !last.isCompletedExceptionally()) {
                return;
            }
        }
    }
}
