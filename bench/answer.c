/* A process with memory, for bench/lazy.py: answer MIB. At each SIGUSR1 it reads one page and writes 1 % if it is the
 * hundredth, and writes how many there were to /shared/answers. An eighth of each page is random. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    size_t pages = strtoull(argv[1], NULL, 10) * 256;
    uint64_t state = 0x9E3779B97F4A7C15u;
    char *memory = mmap(NULL, (pages + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 3;
    for (size_t page = 0; page < pages; page++) {
        memset(memory + page * PAGE, 'a' + (int)(page % 26), PAGE);
        for (int word = 0; word < PAGE / 8 / 8; word++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((uint64_t *)(memory + page * PAGE))[word * 8] = state;
        }
    }
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    for (unsigned long answers = 0;; answers++) {
        int descriptor = open("/shared/answers.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        size_t page = pages ? answers * 7919 % pages : 0;
        dprintf(descriptor, "%lu %d\n", answers, memory[page * PAGE + 8]);
        close(descriptor);
        if (rename("/shared/answers.new", "/shared/answers") < 0)
            return 4;
        int signal_number;
        while (sigwait(&wanted, &signal_number) != 0)
            continue;
        memory[page * PAGE + 16] ^= 1;
    }
}
