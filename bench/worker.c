/* A process with memory and files, for bench/commits.py: worker SEED MEMORY_MIB FILES_MIB.
 *
 * A quarter of each page is random, the rest is text, as of a program's heap. It says "ready", and after each SIGUSR1,
 * having written to every hundredth page, "changed". */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static uint64_t state;

static uint64_t number(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill(char *page) {
    memset(page, 'a' + (int)(number() % 26), PAGE);
    for (int word = 0; word < PAGE / 4 / 8; word++)
        ((uint64_t *)page)[word * 4] = number();
}

static void say(const char *word) {
    if (write(1, word, strlen(word)) < 0)
        _exit(2);
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    state = strtoull(argv[1], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    size_t pages = strtoull(argv[2], NULL, 10) * 256, files = strtoull(argv[3], NULL, 10);
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 3;
    for (size_t page = 0; page < pages; page++)
        fill(memory + page * PAGE);
    static char content[PAGE];
    for (size_t file = 0; file < files; file++) {
        char name[64];
        snprintf(name, sizeof name, "/data/%zu", file);
        int descriptor = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        for (int page = 0; page < 256; page++) {
            fill(content);
            if (write(descriptor, content, PAGE) != PAGE)
                return 4;
        }
        close(descriptor);
    }
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    say("ready\n");
    for (size_t round = 0;; round++) {
        int signal_number;
        if (sigwait(&wanted, &signal_number) != 0)
            continue;
        for (size_t page = round % 100; page < pages; page += 100)
            fill(memory + page * PAGE);
        say("changed\n");
    }
}
