// `slow N` calls `slow_function` N times.

#include <stdlib.h>

#include "slow.h"

__attribute__((noinline)) int slow_function(int i) {
    two_milliseconds();
    return i + 1;
}

int main(int argc, char **argv) {
    int calls = argc > 1 ? atoi(argv[1]) : 0;
    for (int i = 0; i < calls; i++)
        if (slow_function(i) != i + 1)
            return 1;
    return 0;
}
