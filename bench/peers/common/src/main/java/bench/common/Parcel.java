package bench.common;

import java.nio.charset.StandardCharsets;

/**
 * What a join knows of a waybill, packed.
 *
 * <pre>
 * 1, category, collected ms (8), outlet ...   waits for the registration
 * 2, registered ms (8)                        registered early, waits for the collection
 * 3                                           joined: a later registration is a duplicate
 * </pre>
 */
public final class Parcel {
    public static final long ON_TIME_LIMIT_MS = 7_200_000;
    public static final long PANE_MS = 300_000;
    public static final byte[] JOINED = {3};

    private static final int OUTLET_AT = 10;

    private Parcel() {}

    public static boolean isCollected(byte[] parcel) {
        return parcel[0] == 1;
    }

    public static boolean isRegistered(byte[] parcel) {
        return parcel[0] == 2;
    }

    @SuppressWarnings("deprecation") // The quick way for text that is all ASCII.
    public static byte[] collected(String outlet, byte category, long timeMs) {
        int length = outlet.length();
        byte[] parcel = new byte[OUTLET_AT + length];
        parcel[0] = 1;
        parcel[1] = category;
        putLong(parcel, 2, timeMs);
        outlet.getBytes(0, length, parcel, OUTLET_AT);
        return parcel;
    }

    public static byte[] registered(long timeMs) {
        byte[] parcel = new byte[9];
        parcel[0] = 2;
        putLong(parcel, 1, timeMs);
        return parcel;
    }

    public static byte category(byte[] collected) {
        return collected[1];
    }

    public static long collectedMs(byte[] collected) {
        return getLong(collected, 2);
    }

    public static long registeredMs(byte[] registered) {
        return getLong(registered, 1);
    }

    public static String outlet(byte[] collected) {
        return new String(collected, OUTLET_AT, collected.length - OUTLET_AT, StandardCharsets.ISO_8859_1);
    }

    private static void putLong(byte[] bytes, int at, long value) {
        for (int i = 7; i >= 0; i--) {
            bytes[at + i] = (byte) value;
            value >>>= 8;
        }
    }

    private static long getLong(byte[] bytes, int at) {
        long value = 0;
        for (int i = 0; i < 8; i++) {
            value = value << 8 | bytes[at + i] & 0xff;
        }
        return value;
    }
}
