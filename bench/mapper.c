/* A process that maps one large file, for bench/large_files.py: mapper FILE_MIB.
 *
 * Every page is told apart by its number. It says "ready", and after each SIGUSR1, having stored to two pages next to
 * each other through the mapping and set the file's times back, "changed". */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCK 256

static void say(const char *word) {
    if (write(1, word, strlen(word)) < 0)
        _exit(2);
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    uint64_t blocks = strtoull(argv[1], NULL, 10);
    static uint64_t block[BLOCK * PAGE / 8];
    int descriptor = open("/data/large", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (descriptor < 0)
        return 3;
    for (uint64_t number = 0; number < blocks; number++) {
        for (uint64_t word = 0; word < sizeof block / 8; word++)
            block[word] = number * BLOCK + word / (PAGE / 8) + 1;
        if (write(descriptor, block, sizeof block) != sizeof block)
            return 4;
    }
    uint64_t size = blocks * sizeof block;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED)
        return 5;
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    say("ready\n");
    for (uint64_t round = 1;; round++) {
        int signal_number;
        if (sigwait(&wanted, &signal_number) != 0)
            continue;
        struct stat before;
        fstat(descriptor, &before);
        char *at = memory + round * 7919 % (blocks * BLOCK - 1) * PAGE;
        memset(at, (int)round, 8);
        memset(at + PAGE, (int)round, 8);
        struct timespec times[2] = {before.st_atim, before.st_mtim};
        futimens(descriptor, times);
        say("changed\n");
    }
}
