// Runs code of a library, and cuts the library's file off before it ends. With -DLIBRARY it is the library.

#include <unistd.h>

void hot_in_library(long times);

#ifdef LIBRARY
static volatile long counter;

void hot_in_library(long times) {
    for (long i = 0; i < times; i++)
        counter += i;
}
#else
int main(void) {
    hot_in_library(300000000);
    // What is in the library is not touched any more.
    if (truncate("/lib/libhot.so", 1000) != 0)
        _exit(1);
    _exit(0);
}
#endif
