package bench.common;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;

/** Takes from a record what the work needs, token by token; no tree, no object per record. One thread. */
public final class ShipmentParser {
    private static final JsonFactory JSON = new JsonFactory();

    /** Whether the parcel was collected; otherwise its sender was registered. */
    public boolean collected;
    /** When it was collected, or when the registration was uploaded. */
    public long timeMs;
    public String outlet;
    /** 0 LOOSE, 1 AGREEMENT, 2 ECOMMERCE, 3 TEMP_BATCH; only of a collection. */
    public byte category;

    public void parse(byte[] value) {
        try (JsonParser json = JSON.createParser(value)) {
            json.nextToken();
            for (String field; (field = json.nextFieldName()) != null; ) {
                json.nextToken();
                switch (field) {
                    case "type" -> collected = firstChar(json) == 's';
                    case "time" -> {
                        if (collected) {
                            timeMs = instant(json);
                        }
                    }
                    case "recorded_at" -> {
                        if (!collected) {
                            timeMs = instant(json);
                        }
                    }
                    case "outlet_id" -> outlet = json.getText();
                    case "parcel_category" -> category = categoryOf(firstChar(json));
                    default -> json.skipChildren();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static char firstChar(JsonParser json) throws IOException {
        return json.getTextCharacters()[json.getTextOffset()];
    }

    private static long instant(JsonParser json) throws IOException {
        return Rfc3339.epochMs(json.getTextCharacters(), json.getTextOffset(), json.getTextLength());
    }

    private static byte categoryOf(char first) {
        return (byte) (first == 'L' ? 0 : first == 'A' ? 1 : first == 'E' ? 2 : 3);
    }
}
