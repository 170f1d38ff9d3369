// Calls malloc so that it can be counted: `calls N` does it N times with a size that nobody else asks for, and once
// with the next size. `calls N wait` does so whenever SIGUSR1 comes. `calls 0 busy` never stops.

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 4711 };

static void *volatile kept;

static void allocate(size_t size) {
    kept = malloc(size);
    free(kept);
}

static void batch(int calls) {
    for (int i = 0; i < calls; i++)
        allocate(SIZE);
    allocate(SIZE + 1);
}

int main(int argc, char **argv) {
    int calls = argc > 1 ? atoi(argv[1]) : 0;
    const char *how = argc > 2 ? argv[2] : "";
    if (strcmp(how, "busy") == 0)
        for (;;)
            allocate(SIZE);
    if (strcmp(how, "wait") == 0) {
        sigset_t set;
        int received;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        while (sigwait(&set, &received) == 0)
            batch(calls);
    }
    batch(calls);
    return 0;
}
