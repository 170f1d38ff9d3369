// `slow N` calls `slow::Worker::work(int)` N times.

#include <cstdlib>

#include "slow.h"

namespace slow {

struct Worker {
    int work(int i);
};

__attribute__((noinline)) int Worker::work(int i) {
    two_milliseconds();
    return i + 1;
}

}  // namespace slow

int main(int argc, char **argv) {
    int calls = argc > 1 ? std::atoi(argv[1]) : 0;
    slow::Worker worker;
    for (int i = 0; i < calls; i++)
        if (worker.work(i) != i + 1)
            return 1;
    return 0;
}
