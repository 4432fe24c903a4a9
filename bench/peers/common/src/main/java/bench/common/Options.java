package bench.common;

import java.nio.file.Path;

/** What the caller of a program told it, as system properties: all are required but the numbers. */
public final class Options {
    public final String bootstrap = text("bootstrap");
    public final String topic = text("topic");
    public final String group = text("group");
    public final Path truth = Path.of(text("truth"));
    public final Path stateDir = Path.of(text("state")).toAbsolutePath();
    public final String brokerPid = text("broker.pid");
    /** {@code memory} or {@code rocksdb}. */
    public final boolean rocksDb = text("store").equals("rocksdb");
    public final int parallelism = Integer.getInteger("parallelism", 2);
    public final long timeoutS = Long.getLong("timeout", 240);

    private static String text(String name) {
        String value = System.getProperty(name);
        if (value == null) {
            throw new IllegalArgumentException("say -D" + name + "=...");
        }
        return value;
    }
}
