// A function that takes the time, which the compiler has put into another one: `hot` into `outer`.

static volatile long counter;

static inline __attribute__((always_inline)) void hot(long times) {
    for (long i = 0; i < times; i++)
        counter += i;
}

__attribute__((noinline)) static void outer(long times) {
    hot(times);
    hot(times);
}

int main(void) {
    for (int i = 0; i < 100; i++)
        outer(3000000);
    return counter == 1;
}
