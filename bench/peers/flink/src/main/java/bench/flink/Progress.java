package bench.flink;

import bench.common.Measurement;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** What the operators, which Flink copies about, share with {@link FlinkPeer}: there is one per process. */
final class Progress {
    static Measurement measurement;
    /** By outlet, filled once the measurement is over. */
    static final Map<String, long[]> TOTALS = new ConcurrentHashMap<>();

    private Progress() {}
}
