package bench.common;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** What a right program comes to: per outlet collected, covered on time, covered late, duplicates. */
public final class Truth {
    public static final int FIGURES = 4;

    public final long records;
    private final Map<String, long[]> outlets = new HashMap<>();

    public Truth(Path file) throws IOException {
        JsonNode truth = new ObjectMapper().readTree(file.toFile());
        records = truth.get("records").asLong();
        for (Map.Entry<String, JsonNode> outlet : truth.get("outlets").properties()) {
            long[] figures = new long[FIGURES];
            for (int i = 0; i < FIGURES; i++) {
                figures[i] = outlet.getValue().get(i).asLong();
            }
            outlets.put(outlet.getKey(), figures);
        }
    }

    /** How many outlets differ, those that only one side knows included. */
    public int differing(Map<String, long[]> totals) {
        int differing = 0;
        for (Map.Entry<String, long[]> outlet : outlets.entrySet()) {
            if (!java.util.Arrays.equals(outlet.getValue(), totals.get(outlet.getKey()))) {
                differing++;
            }
        }
        for (String outlet : totals.keySet()) {
            if (!outlets.containsKey(outlet)) {
                differing++;
            }
        }
        return differing;
    }
}
