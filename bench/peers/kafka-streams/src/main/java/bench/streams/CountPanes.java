package bench.streams;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Adds up the changes of each outlet by category and 5-minute pane. */
final class CountPanes implements Processor<byte[], byte[], Void, Void> {
    static final String STORE = "panes";

    /** Of all partitions. */
    static final class Progress {
        final LongAdder applied = new LongAdder();
        /** By partition of the repartition topic, the last offset that was applied. */
        final Map<Integer, Long> offsets = new ConcurrentHashMap<>();
    }

    private final Progress progress;
    private ProcessorContext<Void, Void> context;
    private KeyValueStore<Bytes, byte[]> panes;

    CountPanes(Progress progress) {
        this.progress = progress;
    }

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        this.context = context;
        panes = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        Bytes key = Change.key(record.key(), record.value());
        panes.put(key, Change.added(panes.get(key), record.value()));
        progress.offsets.put(
                context.taskId().partition(), context.recordMetadata().orElseThrow().offset());
        progress.applied.increment();
    }
}
