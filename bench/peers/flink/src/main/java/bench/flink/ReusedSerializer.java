package bench.flink;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** What both serializers have in common: objects that are altered, texts of at most 255 ASCII letters. */
abstract class ReusedSerializer<T> extends TypeSerializer<T> {
    private transient byte[] buffer;

    @SuppressWarnings("deprecation") // The quick way for text that is all ASCII.
    final void writeText(String text, DataOutputView out) throws IOException {
        int length = text.length();
        text.getBytes(0, length, buffer(), 0);
        out.writeByte(length);
        out.write(buffer(), 0, length);
    }

    final String readText(DataInputView in) throws IOException {
        int length = in.readUnsignedByte();
        in.readFully(buffer(), 0, length);
        return new String(buffer(), 0, length, StandardCharsets.ISO_8859_1);
    }

    private byte[] buffer() {
        if (buffer == null) {
            buffer = new byte[256];
        }
        return buffer;
    }

    @Override
    public final boolean isImmutableType() {
        return false;
    }

    @Override
    public final T copy(T from, T reuse) {
        return copy(from);
    }

    @Override
    public final int getLength() {
        return -1;
    }

    @Override
    public final T deserialize(T reuse, DataInputView in) throws IOException {
        return deserialize(in);
    }

    @Override
    public final void copy(DataInputView in, DataOutputView out) throws IOException {
        serialize(deserialize(in), out);
    }

    @Override
    public final boolean equals(Object other) {
        return other != null && other.getClass() == getClass();
    }

    @Override
    public final int hashCode() {
        return getClass().hashCode();
    }
}
