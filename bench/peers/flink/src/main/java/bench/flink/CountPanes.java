package bench.flink;

import bench.common.Truth;
import java.util.Map;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.runtime.state.VoidNamespaceSerializer;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.util.Collector;

/** Adds up the changes of each outlet by category and 5-minute pane. */
final class CountPanes extends KeyedProcessFunction<String, Delta, Void> {
    private static final MapStateDescriptor<Integer, Long> PANES =
            new MapStateDescriptor<>("panes", Types.INT, Types.LONG);

    private transient MapState<Integer, Long> panes;

    @Override
    public void open(OpenContext context) {
        panes = getRuntimeContext().getMapState(PANES);
    }

    @Override
    public void processElement(Delta delta, Context context, Collector<Void> out) throws Exception {
        Integer slot = delta.slot;
        Long before = panes.get(slot);
        panes.put(slot, before == null ? delta.counts : before + delta.counts);
    }

    /** Gives out the totals when the job is stopped, which is after the measurement. */
    static final class Operator extends KeyedProcessOperator<String, Delta, Void> {
        Operator() {
            super(new CountPanes());
        }

        @Override
        public void finish() throws Exception {
            this.<String>getKeyedStateBackend()
                    .applyToAllKeys(
                            VoidNamespace.INSTANCE,
                            VoidNamespaceSerializer.INSTANCE,
                            PANES,
                            (String outlet, MapState<Integer, Long> slots) -> {
                                long[] figures = new long[Truth.FIGURES];
                                for (Map.Entry<Integer, Long> slot : slots.entries()) {
                                    Delta.addTo(figures, slot.getKey(), slot.getValue());
                                }
                                Progress.TOTALS.put(outlet, figures);
                            });
            super.finish();
        }
    }
}
