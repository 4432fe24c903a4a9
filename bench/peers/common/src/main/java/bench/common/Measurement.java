package bench.common;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;

/** The clock: from the first record that user code sees to all of it processed, durable and committed. */
public final class Measurement {
    private static final double TICKS_PER_S = 100; // Of /proc, on every Linux.

    /** Counts records as the join is done with them. */
    public final LongAdder joined = new LongAdder();

    private final long records;
    private final String brokerPid;
    private final AtomicLong firstNs = new AtomicLong();
    private volatile double firstCpuS;
    private volatile double firstBrokerCpuS;
    private double halfS = Double.NaN;
    private double processedS = Double.NaN;
    private double wallS;
    private double cpuS;
    private double brokerCpuS;

    public Measurement(long records, String brokerPid) {
        this.records = records;
        this.brokerPid = brokerPid;
    }

    /** To be called with each record; the first call starts the clock. */
    public void seen() {
        if (firstNs.get() == 0 && firstNs.compareAndSet(0, System.nanoTime())) {
            firstCpuS = processCpuS();
            firstBrokerCpuS = brokerCpuS();
        }
    }

    /** To be called often: notes when half of the records were joined; returns whether all are. */
    public boolean allJoined() {
        if (Double.isNaN(halfS) && joined.sum() >= records / 2) {
            halfS = sinceFirstS();
        }
        return joined.sum() >= records;
    }

    /** Notes that everything has been processed, and is yet to be made durable. */
    public void processed() {
        if (Double.isNaN(processedS)) {
            processedS = sinceFirstS();
        }
    }

    /** Stops the clock. */
    public void durable() {
        wallS = sinceFirstS();
        cpuS = processCpuS() - firstCpuS;
        brokerCpuS = brokerCpuS() - firstBrokerCpuS;
    }

    /** Prints the one line that the caller of this program reads. */
    public void print(int differing) throws IOException {
        System.out.printf(
                Locale.ROOT,
                "RESULT {\"records\":%d,\"differing\":%d,\"wall_s\":%.3f,\"second_half_per_s\":%.0f,"
                        + "\"cpu_s\":%.3f,\"broker_cpu_s\":%.3f,\"memory_mb\":%.0f}%n",
                records,
                differing,
                wallS,
                (records - records / 2) / (processedS - halfS),
                cpuS,
                brokerCpuS,
                peakMemoryMb());
        System.out.flush();
    }

    private double sinceFirstS() {
        return (System.nanoTime() - firstNs.get()) / 1e9;
    }

    private static double processCpuS() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    private double brokerCpuS() {
        try {
            String stat = Files.readString(Path.of("/proc", brokerPid, "stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_PER_S;
        } catch (IOException gone) {
            throw new java.io.UncheckedIOException(gone);
        }
    }

    private static double peakMemoryMb() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM")) {
                return Long.parseLong(line.replaceAll("\\D+", "")) / 1024.0;
            }
        }
        throw new IOException("the kernel tells no peak of memory");
    }
}
