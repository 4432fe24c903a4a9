package bench.common;

/** Instants as the records spell them, parsed by hand: java.time costs more than the rest of the record. */
final class Rfc3339 {
    private Rfc3339() {}

    /** Milliseconds since the epoch of {@code yyyy-MM-ddTHH:mm:ss[.fraction](Z|+hh:mm|-hh:mm)}. */
    static long epochMs(char[] text, int from, int length) {
        int year = twoDigits(text, from) * 100 + twoDigits(text, from + 2);
        int month = twoDigits(text, from + 5);
        int day = twoDigits(text, from + 8);
        long minutes = (epochDay(year, month, day) * 24 + twoDigits(text, from + 11)) * 60 + twoDigits(text, from + 14);
        long ms = minutes * 60_000 + twoDigits(text, from + 17) * 1000L;
        int at = from + 19;
        int end = from + length;
        if (text[at] == '.') {
            int fraction = 0;
            int digits = 0;
            for (at++; at < end && text[at] >= '0' && text[at] <= '9'; at++) {
                if (digits < 3) {
                    fraction = fraction * 10 + text[at] - '0';
                    digits++;
                }
            }
            for (; digits < 3; digits++) {
                fraction *= 10;
            }
            ms += fraction;
        }
        if (text[at] == 'Z') {
            return ms;
        }
        long offset = (twoDigits(text, at + 1) * 60 + twoDigits(text, at + 4)) * 60_000L;
        return text[at] == '-' ? ms + offset : ms - offset;
    }

    /** Days since the epoch in the Gregorian calendar, counting years from March (Hinnant's days_from_civil). */
    private static long epochDay(int year, int month, int day) {
        int marchYear = month <= 2 ? year - 1 : year;
        int era = marchYear / 400;
        int yearOfEra = marchYear - era * 400;
        int dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
        int dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear;
        return era * 146_097L + dayOfEra - 719_468;
    }

    private static int twoDigits(char[] text, int at) {
        return (text[at] - '0') * 10 + text[at + 1] - '0';
    }
}
