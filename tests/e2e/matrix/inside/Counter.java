import com.sun.net.httpserver.HttpServer;
import java.io.RandomAccessFile;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/** The same server as counter.py: /add does one step, /state says "steps digest file sound". SIGTERM ends it with 37. */
public class Counter {
    static long steps;
    static byte[] chain = {};
    static RandomAccessFile file;
    static final byte[][] garbage = new byte[1000][];
    static final AtomicLong timer = new AtomicLong(), thread = new AtomicLong();

    static byte[] link(byte[] before, long number) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(before);
            return digest.digest(ByteBuffer.allocate(8).putLong(number).array());
        } catch (Exception impossible) {
            throw new RuntimeException(impossible);
        }
    }

    static synchronized String add() {
        try {
            steps += 1;
            chain = link(chain, steps);
            garbage[(int) (steps % garbage.length)] = new byte[10000];
            file.seek(0);
            file.writeLong(steps);
            return Long.toString(steps);
        } catch (Exception failed) {
            throw new RuntimeException(failed);
        }
    }

    static synchronized String state() {
        try {
            byte[] again = {};
            for (long number = 1; number <= steps; number++) again = link(again, number);
            file.seek(0);
            long inFile = steps == 0 ? 0 : file.readLong();
            boolean sound = Arrays.equals(again, chain) && inFile == steps;
            return steps + " " + HexFormat.of().formatHex(chain) + " " + inFile + " " + (sound ? "True" : "False");
        } catch (Exception failed) {
            throw new RuntimeException(failed);
        }
    }

    static void answer(HttpServer server, String path, Supplier<String> what) {
        server.createContext(path, exchange -> {
            byte[] body = what.get().getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
    }

    public static void main(String[] args) throws Exception {
        file = new RandomAccessFile("/srv/number", "rw");
        HttpServer server = HttpServer.create(new InetSocketAddress(8000), 64);
        server.setExecutor(Executors.newFixedThreadPool(8));
        answer(server, "/add", Counter::add);
        answer(server, "/state", Counter::state);
        answer(server, "/ticks", () -> Long.toString(Math.min(timer.get(), thread.get())));
        Executors.newScheduledThreadPool(1).scheduleAtFixedRate(timer::incrementAndGet, 0, 20, TimeUnit.MILLISECONDS);
        Thread ticking = new Thread(() -> {
            while (true) {
                thread.incrementAndGet();
                try {
                    Thread.sleep(20);
                } catch (InterruptedException ended) {
                    return;
                }
            }
        });
        ticking.setDaemon(true);
        ticking.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            System.out.println("ended");
            Runtime.getRuntime().halt(37);
        }));
        server.start();
        System.out.println("serving");
    }
}
